//! Lanczos recurrences, and the quadrature rules that they are of an operator's spectral measure as a vector sees it.

use crate::small::eigen;
use crate::space::{Budget, Small, Space, TESTS};
use crate::Result;

/// Probes that go through together, at most: each keeps all its vectors.
pub(crate) const TOGETHER: usize = 8;

/// A quadrature rule: nodes and weights, which sum to 1 where it is that of a whole measure.
pub(crate) type Rule = Vec<(f64, f64)>;

/// One vector's recurrence: the tridiagonal matrix, and whether it ended in an invariant subspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recurrence {
    pub alpha: Vec<f64>,
    pub beta: Vec<f64>,
    pub ended: bool,
}

impl Recurrence {
    /// Takes the next diagonal number and the length of what is left; says what the next vector is to be scaled by, 0 at the end.
    fn push(&mut self, alpha: f64, norm: f64, epsilon: f64, last: bool) -> f64 {
        self.alpha.push(alpha);
        let size = self.alpha.iter().chain(&self.beta).fold(0.0, |m: f64, x| m.max(x.abs()));
        self.ended = norm <= 32.0 * epsilon * size || last;
        if self.ended {
            return 0.0;
        }
        self.beta.push(norm);
        norm.recip()
    }

    fn is_finite(&self) -> bool {
        self.alpha.iter().chain(&self.beta).all(|x| x.is_finite())
    }

    /// The recurrence of a measure of some nodes, of at most `steps` steps, of full reorthogonalisation.
    pub fn of(measure: &Rule, steps: usize) -> Self {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let total: f64 = measure.iter().map(|(_, w)| w.max(0.0)).sum();
        let (mut run, mut basis) = (Self::default(), Vec::<Vec<f64>>::new());
        let mut q: Vec<f64> = measure.iter().map(|(_, w)| (w.max(0.0) / total).sqrt()).collect();
        for step in 0..if total > 0.0 { steps.min(measure.len()) } else { 0 } {
            let (mut w, mut alpha): (Vec<f64>, _) = (q.iter().zip(measure).map(|(q, (x, _))| q * x).collect(), 0.0);
            basis.push(q);
            for _ in 0..2 {
                for (i, b) in basis.iter().enumerate().rev() {
                    let c = dot(b, &w);
                    w.iter_mut().zip(b).for_each(|(w, b)| *w -= c * b);
                    alpha += if i == step { c } else { 0.0 };
                }
            }
            let inverse = run.push(alpha, dot(&w, &w).sqrt(), f64::EPSILON, step + 1 == measure.len());
            if run.ended {
                break;
            }
            w.iter_mut().for_each(|w| *w *= inverse);
            q = w;
        }
        run
    }

    /// Gauss's rule of the first `steps` steps (Golub and Welsch 1969): Ritz values, and squares of their vectors' first numbers.
    pub fn gauss(&self, steps: usize) -> Rule {
        rule(&self.alpha[..steps], &self.beta[..steps - 1])
    }

    /// The rule of Gauss and Radau with a node at 0 (Golub 1973); its weight there is no less than the mass at 0.
    pub fn radau(&self) -> Rule {
        let k = self.alpha.len();
        if self.ended || k < 2 {
            return self.gauss(k);
        }
        // The last diagonal that makes the matrix singular: by the elimination of the steps before.
        let mut pivot = self.alpha[0];
        for i in 1..k - 1 {
            pivot = self.alpha[i] - self.beta[i - 1].powi(2) / pivot;
        }
        let mut alpha = self.alpha.clone();
        alpha[k - 1] = self.beta[k - 2].powi(2) / pivot;
        if alpha.iter().all(|a| a.is_finite()) {
            rule(&alpha, &self.beta[..k - 1])
        } else {
            self.gauss(k)
        }
    }
}

fn rule(alpha: &[f64], beta: &[f64]) -> Rule {
    let k = alpha.len();
    let mut t = vec![0.0; k * k];
    for i in 0..k {
        t[i * k + i] = alpha[i];
        if i + 1 < k {
            t[i * k + i + 1] = beta[i];
            t[(i + 1) * k + i] = beta[i];
        }
    }
    let (values, vectors) = eigen(&t, k);
    values.iter().zip(vectors.chunks(k)).map(|(&v, u)| (v, u[0] * u[0])).collect()
}

/// The spectral measures of an operator that Rademacher probes see, a recurrence each.
#[derive(Clone, Debug)]
pub(crate) struct Quadrature {
    /// n, the numbers of a vector.
    pub n: usize,
    pub probes: Vec<Recurrence>,
    /// Probes that were run.
    pub drawn: usize,
}

impl Quadrature {
    pub fn new(n: usize) -> Self {
        Self { n, probes: Vec::new(), drawn: 0 }
    }

    /// Runs recurrences on `probes` probes, number `first` on, of at most `steps` steps. Collective.
    ///
    /// All go through in one block; every vector is orthogonalised twice against all of its own before (full reorthogonalisation).
    pub fn extend<S: Space>(&mut self, space: &S, budget: &Budget, probes: usize, steps: usize) -> Result<()> {
        let mut q = space.draw(TESTS, self.drawn, probes);
        let length = (self.n as f64).sqrt();
        space.scale(&mut q, &vec![length.recip(); probes]);
        let mut basis: Vec<S::Block> = Vec::new();
        let mut runs = vec![Recurrence::default(); probes];
        for step in 0..steps {
            let mut w = space.apply(&q)?;
            // An operator with few different eigenvalues is done with soon.
            space.may_stop(budget, false);
            basis.push(q);
            let mut alpha = vec![0.0; probes];
            for _ in 0..2 {
                for (i, b) in basis.iter().enumerate().rev() {
                    let c = space.dots(b, &w)?;
                    space.subtract(&mut w, &c, b);
                    if i == step {
                        alpha.iter_mut().zip(&c).for_each(|(a, c)| *a += c);
                    }
                }
            }
            let norms: Vec<f64> = space.dots(&w, &w)?.into_iter().map(f64::sqrt).collect();
            let mut inverse = vec![0.0; probes];
            let ended = space.small(Small::default(), |_| {
                for (v, run) in runs.iter_mut().enumerate().filter(|(_, r)| !r.ended) {
                    inverse[v] = run.push(alpha[v], norms[v], space.epsilon(), step + 1 == self.n);
                }
                Ok(runs.iter().all(|r| r.ended || !r.alpha.iter().all(|a| a.is_finite())))
            })?;
            if ended {
                break;
            }
            space.scale(&mut w, &inverse);
            q = w;
        }
        self.drawn += probes;
        space.small(Small::default(), |_| {
            self.probes.extend(runs);
            Ok(())
        })
    }

    pub fn is_finite(&self) -> bool {
        self.probes.iter().all(Recurrence::is_finite)
    }

    /// Forgets the probes whose products overflowed.
    pub fn retain_finite(&mut self) {
        self.probes.retain(Recurrence::is_finite);
    }
}
