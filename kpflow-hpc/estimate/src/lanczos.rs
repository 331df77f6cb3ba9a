//! Stochastic Lanczos quadrature: the spectral measure of an operator as random vectors see it.

use crate::interval::Bar;
use crate::sampling::{jackknife, mean, within, ValueError};
use crate::small::eigen;
use crate::space::{Budget, Small, Space, TESTS};
use crate::{Estimate, Result, StopReason};

/// Steps of a recurrence, at most: for a density, whose resolution they are, and for a sum, where probes are worth more.
const STEPS: usize = 60;
const STEPS_OF_SUMS: usize = 30;
/// Probes that go through together, at most: each keeps all its vectors.
const TOGETHER: usize = 8;

/// A quadrature rule: nodes, and weights that sum to 1.
type Rule = Vec<(f64, f64)>;

/// One probe's recurrence: the tridiagonal matrix, and whether it ended in an invariant subspace.
#[derive(Clone, Debug, Default)]
struct Recurrence {
    alpha: Vec<f64>,
    beta: Vec<f64>,
    ended: bool,
}

impl Recurrence {
    /// Gauss's rule of the first `steps` steps (Golub and Welsch 1969): Ritz values, and squares of their vectors' first numbers.
    fn gauss(&self, steps: usize) -> Rule {
        rule(&self.alpha[..steps], &self.beta[..steps - 1])
    }

    /// The rule of Gauss and Radau with a node at 0 (Golub 1973); its weight there is no less than the mass at 0.
    fn radau(&self) -> Rule {
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

/// The spectral measures of an operator that Rademacher probes see, a quadrature rule each.
#[derive(Clone, Debug)]
pub struct Quadrature {
    /// n, the numbers of a vector.
    n: usize,
    drawn: usize,
    probes: Vec<Recurrence>,
}

/// A spectral density.
#[derive(Clone, Debug, Default)]
pub struct Density {
    /// Eigenvalues.
    pub grid: Vec<f64>,
    /// The density of those eigenvalues that are not 0, smoothed, of integral 1.
    pub density: Vec<f64>,
    /// Its standard error.
    pub error: Vec<f64>,
    /// The standard deviation of the Gaussian that each eigenvalue is smoothed to.
    pub width: f64,
    /// log₁₀ of eigenvalues.
    pub log_grid: Vec<f64>,
    /// The density over log₁₀ λ, of integral 1.
    pub log_density: Vec<f64>,
    /// The share of eigenvalues that are 0 to rounding: an atom, which no density can show.
    pub zero_mass: f64,
    /// Its standard error.
    pub zero_mass_error: f64,
    /// No less than this share of eigenvalues can be 0, as far as the recurrences can tell.
    pub zero_mass_bound: f64,
}

impl Quadrature {
    /// Runs recurrences on `probes` probes, number `first` on, of at most `steps` steps. Collective.
    ///
    /// All go through in one block; every vector is orthogonalised twice against all of its own before (full reorthogonalisation).
    fn extend<S: Space>(&mut self, space: &S, probes: usize, steps: usize) -> Result<()> {
        let mut q = space.draw(TESTS, self.drawn, probes);
        let length = (self.n as f64).sqrt();
        space.scale(&mut q, &vec![length.recip(); probes]);
        let mut basis: Vec<S::Block> = Vec::new();
        let mut runs = vec![Recurrence::default(); probes];
        for step in 0..steps {
            let mut w = space.apply(&q)?;
            // An operator with few different eigenvalues is done with soon.
            space.may_stop(false);
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
                    run.alpha.push(alpha[v]);
                    let size = run.alpha.iter().chain(&run.beta).fold(0.0, |m: f64, x| m.max(x.abs()));
                    run.ended = norms[v] <= 32.0 * space.epsilon() * size || step + 1 == self.n;
                    if !run.ended {
                        run.beta.push(norms[v]);
                        inverse[v] = norms[v].recip();
                    }
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

    fn is_finite(&self) -> bool {
        self.probes.iter().all(|r| r.alpha.iter().chain(&r.beta).all(|x| x.is_finite()))
    }

    /// A statistic `of` the means over probes of Σ τ² f(θ), with the jackknife's error, to which what two steps more have changed is added: the
    /// quadrature's own error, which falls by a factor a step.
    fn statistic<const K: usize>(&self, f: impl Fn(f64) -> [f64; K], of: impl Fn([f64; K]) -> f64) -> ValueError {
        let count = self.probes.len();
        let integrals = |back: usize| -> Vec<[f64; K]> {
            let one = |r: &Recurrence| {
                let k = r.alpha.len();
                let steps = if r.ended { k } else { k.saturating_sub(back).max(1) };
                r.gauss(steps).into_iter().fold([0.0; K], |mut s, (x, w)| {
                    s.iter_mut().zip(f(x)).for_each(|(s, y)| *s += w * y);
                    s
                })
            };
            self.probes.iter().map(one).collect()
        };
        let average = |all: &[[f64; K]], without: Option<usize>| {
            let mut sums = [0.0; K];
            for (_, x) in all.iter().enumerate().filter(|(i, _)| Some(*i) != without) {
                sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            }
            of(sums.map(|s| s / (count - usize::from(without.is_some())) as f64))
        };
        let (now, before) = (integrals(0), integrals(2));
        let (value, error) = jackknife(count, |without| average(&now, without));
        let short = self.probes.iter().any(|r| !r.ended && r.alpha.len() < 3);
        let moved = (average(&now, None) - average(&before, None)).abs();
        (value, if short { f64::INFINITY } else { error + moved })
    }

    /// Estimates the density on `points` points.
    fn density(&self, points: usize, epsilon: f64) -> Density {
        let gauss: Vec<Rule> = self.probes.iter().map(|r| r.gauss(r.alpha.len())).collect();
        let radau: Vec<Rule> = self.probes.iter().map(Recurrence::radau).collect();
        density_of_rules(&gauss, &radau, points, epsilon)
    }
}

/// The density of the mean of some rules.
///
/// Each node is smoothed to a Gaussian whose width is a fortieth of the spectrum's (Lin, Saad and Yang 2016); over log₁₀ λ, of a tenth of a decade.
fn density_of_rules(rules: &[Rule], radau: &[Rule], points: usize, epsilon: f64) -> Density {
    let largest = rules.iter().flatten().fold(0.0, |m: f64, (x, _)| m.max(x.abs()));
    let zero = 64.0 * epsilon * largest;
    let is_zero = |x: f64| x.abs() <= zero;
    let mass = |r: &Rule| r.iter().filter(|(x, _)| is_zero(*x)).map(|(_, w)| w).sum::<f64>();
    let (zero_mass, zero_mass_error) = mean(&rules.iter().map(mass).collect::<Vec<_>>());
    let bound = mean(&radau.iter().map(mass).collect::<Vec<_>>()).0;
    let mut out = Density {
        grid: Vec::new(),
        density: Vec::new(),
        error: Vec::new(),
        width: 0.0,
        log_grid: Vec::new(),
        log_density: Vec::new(),
        zero_mass,
        zero_mass_error,
        zero_mass_bound: bound.max(zero_mass).min(1.0),
    };
    let live = || rules.iter().flatten().filter(|(x, _)| !is_zero(*x));
    let (least, most) = live().fold((f64::INFINITY, f64::NEG_INFINITY), |e, (x, _)| (e.0.min(*x), e.1.max(*x)));
    if least > most {
        return out;
    }
    out.width = (most.max(0.0) - least.min(0.0)) / 40.0;
    out.grid = line(least.min(0.0) - 4.0 * out.width, most.max(0.0) + 4.0 * out.width, points);
    let one = |r: &Rule| smooth(r.iter().filter(|(x, _)| !is_zero(*x)).copied(), &out.grid, out.width);
    let each: Vec<Vec<f64>> = rules.iter().map(one).collect();
    let sums: Vec<f64> = (0..points).map(|i| each.iter().map(|d| d[i]).sum()).collect();
    let scale = rules.len() as f64 / integral(&out.grid, &sums).max(f64::MIN_POSITIVE);
    for i in 0..points {
        let (value, error) = mean(&each.iter().map(|d| d[i] * scale).collect::<Vec<_>>());
        out.density.push(value);
        out.error.push(error);
    }
    let positive: Rule = live().filter(|(x, _)| *x > 0.0).map(|(x, w)| (x.log10(), *w)).collect();
    let ends = positive.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |e, (x, _)| (e.0.min(*x), e.1.max(*x)));
    if ends.0 <= ends.1 {
        out.log_grid = line(ends.0 - 0.4, ends.1 + 0.4, points);
        let density = smooth(positive.iter().copied(), &out.log_grid, 0.1);
        let total = integral(&out.log_grid, &density).max(f64::MIN_POSITIVE);
        out.log_density = density.iter().map(|d| d / total).collect();
    }
    out
}

fn line(from: f64, to: f64, points: usize) -> Vec<f64> {
    (0..points).map(|i| from + (to - from) * i as f64 / (points - 1) as f64).collect()
}

fn smooth(rule: impl Iterator<Item = (f64, f64)> + Clone, grid: &[f64], width: f64) -> Vec<f64> {
    let bell = |x: f64, y: f64| (-0.5 * ((x - y) / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt());
    grid.iter().map(|&x| rule.clone().map(|(y, w)| w * bell(x, y)).sum()).collect()
}

/// By the trapezoidal rule.
fn integral(grid: &[f64], values: &[f64]) -> f64 {
    (1..grid.len()).map(|i| 0.5 * (grid[i] - grid[i - 1]) * (values[i] + values[i - 1])).sum()
}

/// Runs recurrences until `value` is good enough or the budget is spent.
fn run<S: Space>(
    space: &S,
    budget: &Budget,
    steps: usize,
    value: impl Fn(&Quadrature) -> ValueError,
) -> Result<(Quadrature, Estimate)> {
    let n = space.len();
    let steps = steps.min(n).min(budget.max_matvecs).max(1);
    let mut quadrature = Quadrature { n, drawn: 0, probes: Vec::new() };
    let (mut history, mut stop) = (Vec::<[f64; 3]>::new(), StopReason::Budget);
    loop {
        let left = budget.max_matvecs.saturating_sub(space.matvecs()) / steps;
        let probes = left.min(TOGETHER);
        if probes == 0 {
            break;
        }
        quadrature.extend(space, probes, steps)?;
        if !quadrature.is_finite() {
            stop = StopReason::Overflow;
            break;
        }
        let (value, error) = space.small(Small::default(), |_| Ok(value(&quadrature)))?;
        history.push([space.matvecs() as f64, value, error]);
        space.tell(value, error);
        let wide = Bar::positive(value, error).error;
        if space.may_stop(within(budget.rtol.max(4.0 * space.epsilon()), wide, value)) {
            stop = StopReason::Tolerance;
            break;
        }
    }
    if stop == StopReason::Overflow {
        return Ok((quadrature, Estimate::overflow(space.matvecs(), history)));
    }
    let (value, standard_error) = history.last().map_or((0.0, f64::INFINITY), |h| (h[1], h[2]));
    Ok((quadrature, Estimate::positive(value, standard_error, space.matvecs(), stop, history)))
}

/// Ten probes at least, where the budget allows: fewer say little of their own scatter.
fn steps_of_sums(budget: &Budget) -> usize {
    STEPS_OF_SUMS.min((budget.max_matvecs / 10).max(3))
}

/// Estimates the spectral density of a symmetric operator by stochastic Lanczos quadrature (Golub and Meurant 1994; Ubaru, Chen and Saad 2017).
/// Collective. The estimate beside it is of tr A.
///
/// **Cost**: all products of the budget, recurrences of up to 60 steps each; 60·8 vectors. **Accuracy**: a recurrence of k steps knows the first 2k
/// moments of its probe's measure; eigenvalues closer than that are one.
pub fn density<S: Space>(space: &S, budget: &Budget, points: usize) -> Result<(Density, Estimate)> {
    let n = space.len() as f64;
    let all = Budget { rtol: 0.0, ..*budget };
    let (quadrature, estimate) =
        run(space, &all, STEPS.min((budget.max_matvecs / 4).max(3)), |q| q.statistic(|x| [n * x], |[t]| t))?;
    let density = space.small(Small::default(), |_| Ok(quadrature.density(points, space.epsilon())))?;
    Ok((density, estimate))
}

/// Estimates log det(I + A/σ²) of a positive semidefinite operator by stochastic Lanczos quadrature. Collective.
///
/// `noise` is σ² and the k of an operator that stands for 2^-k A.
/// **Cost**: products as the tolerance asks, recurrences of up to 30 steps; 30·8 vectors. **Accuracy**: standard error by the jackknife over probes, and what the last two steps of the
/// recurrences have changed added to it.
pub fn log_det<S: Space>(space: &S, budget: &Budget, noise: (f64, i32)) -> Result<Estimate> {
    let n = space.len() as f64;
    let found = run(space, budget, steps_of_sums(budget), |q| q.statistic(|x| [n * log_one_plus(x, noise)], |[s]| s));
    found.map(|f| f.1)
}

/// Estimates the entropy rank exp(−Σ p log p), p = λ/tr A, of a positive semidefinite operator by stochastic Lanczos quadrature. Collective.
///
/// **Cost** and **accuracy** as [`log_det`]'s; trace and Σ λ log λ share their probes. 0 for the zero operator.
pub fn entropy_rank<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let n = space.len() as f64;
    let parts = |x: f64| if x > 0.0 { [n * x, n * x * x.ln()] } else { [0.0, 0.0] };
    let found = run(space, budget, steps_of_sums(budget), |q| {
        q.statistic(parts, |[t, s]| if t > 0.0 { t * (-s / t).exp() } else { 0.0 })
    });
    found.map(|f| f.1)
}

/// log det(I + A/σ²) from all eigenvalues.
pub fn log_det_of(values: &[f64], noise: (f64, i32)) -> f64 {
    values.iter().map(|x| log_one_plus(*x, noise)).sum()
}

/// log(1 + 2^k x/σ²), 0 for what is not above 0; also where the ratio is beyond all numbers.
fn log_one_plus(x: f64, (noise, k): (f64, i32)) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let power = f64::from(k) * std::f64::consts::LN_2;
    let log = x.ln() + power - noise.ln();
    match k {
        0 if (x / noise).is_finite() => (x / noise).ln_1p(),
        // Beyond the digits of 1 + r it is r's own logarithm, or r.
        _ if log > 40.0 => log,
        _ => log.exp().ln_1p(),
    }
}

/// The entropy rank from all eigenvalues.
pub fn entropy_rank_of(values: &[f64]) -> f64 {
    let trace: f64 = values.iter().filter(|x| **x > 0.0).sum();
    let sum: f64 = values.iter().filter(|x| **x > 0.0).map(|x| x / trace * (x / trace).ln()).sum();
    if trace > 0.0 {
        (-sum).exp()
    } else {
        0.0
    }
}

/// The density of all eigenvalues.
pub fn density_of(values: &[f64], points: usize, epsilon: f64) -> Density {
    let rules = [values.iter().map(|&x| (x, 1.0 / values.len() as f64)).collect::<Rule>()];
    let exact = density_of_rules(&rules, &rules, points, epsilon);
    Density { zero_mass_error: 0.0, error: vec![0.0; exact.density.len()], ..exact }
}

impl crate::space::Blank for Density {
    fn blank() -> Self {
        Self::default()
    }
}
