//! A marginal with its errors, and the samples that it is the mean of.

use crate::interval::ValueError;
use crate::sampling::{jackknife, of, pooled};
use crate::small::eigen;
use crate::StopReason;
use kpflow_core::probe::Running;

/// Groups of samples that the jackknife leaves out one at a time.
pub(crate) const GROUPS: usize = 32;

/// A partial trace with its errors.
#[derive(Clone, Debug)]
pub struct Marginal {
    /// d.
    pub size: usize,
    /// `[d, d]`, symmetric.
    pub matrix: Vec<f64>,
    /// Standard errors, `[d, d]`.
    pub errors: Vec<f64>,
    /// Largest first.
    pub eigenvalues: Vec<f64>,
    /// Vector i in row i: the modes along the axis.
    pub eigenvectors: Vec<f64>,
    /// tr(M)² / ‖M‖_F² and its standard error.
    pub effective_rank: ValueError,
    /// tr M and its standard error.
    pub trace: ValueError,
    /// Products spent.
    pub matvecs: usize,
    /// Why it stopped.
    pub stop: StopReason,
    /// Products, tr M and its standard error on the way.
    pub history: Vec<[f64; 3]>,
}

impl Marginal {
    /// What is known without numbers.
    pub(crate) fn empty(size: usize, matvecs: usize, stop: StopReason) -> Self {
        Self {
            size,
            matrix: Vec::new(),
            errors: Vec::new(),
            eigenvalues: Vec::new(),
            eigenvectors: Vec::new(),
            effective_rank: (0.0, 0.0),
            trace: (0.0, 0.0),
            matvecs,
            stop,
            history: Vec::new(),
        }
    }
}

/// Samples of a matrix: their mean, scatter, and groups for the jackknife.
pub(crate) struct Samples {
    size: usize,
    /// What is known of the matrix, without noise: a part of every sample.
    known: Vec<f64>,
    /// ε of the products.
    epsilon: f64,
    entries: Vec<Running>,
    trace: Running,
    /// Sums of the samples of a group, and how many they are.
    groups: Vec<(Vec<f64>, f64)>,
}

impl Samples {
    /// None yet, of a matrix of which this is known; empty where nothing is.
    pub fn new(size: usize, known: Vec<f64>, epsilon: f64) -> Self {
        let entries = vec![Running::default(); size * size];
        Self { size, known, epsilon, entries, trace: Running::default(), groups: Vec::new() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.trace.count() as usize
    }

    /// tr M and its standard error.
    pub fn trace(&self) -> ValueError {
        of(&self.trace)
    }

    /// ‖errors‖_F, and ‖M‖_F.
    pub fn error_and_norm(&self) -> (f64, f64) {
        let norm: f64 = self.entries.iter().map(|e| e.mean().powi(2)).sum();
        let squares: f64 = self.entries.iter().map(|e| e.standard_error().powi(2)).sum();
        (pooled(squares, 0.0, self.trace.count() as f64 - 1.0), norm.sqrt())
    }

    /// Takes in a sample of what is not known.
    pub fn push(&mut self, sample: &[f64]) {
        let d = self.size;
        let known = |i: usize| self.known.get(i).copied().unwrap_or(0.0);
        let of = |i: usize| 0.5 * (sample[i] + known(i) + sample[i % d * d + i / d] + known(i % d * d + i / d));
        let symmetric: Vec<f64> = (0..d * d).map(of).collect();
        self.entries.iter_mut().zip(&symmetric).for_each(|(e, &x)| e.push(x));
        self.trace.push((0..d).map(|i| symmetric[i * d + i]).sum());
        let group = (self.trace.count() as usize - 1) % GROUPS;
        match self.groups.get_mut(group) {
            Some((sum, count)) => {
                sum.iter_mut().zip(&symmetric).for_each(|(s, x)| *s += x);
                *count += 1.0;
            }
            None => self.groups.push((symmetric, 1.0)),
        }
    }

    /// tr²/‖M‖²: the square of a noisy matrix is too large, so it is taken from pairs of groups, which have no noise in common.
    fn effective_rank(&self) -> ValueError {
        let (d, n) = (self.size, self.groups.len());
        let means: Vec<Vec<f64>> = self.groups.iter().map(|(s, c)| s.iter().map(|x| x / c).collect()).collect();
        let traces: Vec<f64> = means.iter().map(|m| (0..d).map(|i| m[i * d + i]).sum()).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let whole: Vec<f64> = (0..d * d).map(|i| means.iter().map(|m| m[i]).sum()).collect();
        let (own, cross): (Vec<f64>, Vec<f64>) = means.iter().map(|m| (dot(m, m), dot(m, &whole))).unzip();
        let (all, owns, trace) = (dot(&whole, &whole), own.iter().sum::<f64>(), traces.iter().sum::<f64>());
        let statistic = |without: Option<usize>| {
            let (count, pairs, trace) = match without {
                None => (n as f64, all - owns, trace),
                Some(i) => (n as f64 - 1.0, all - 2.0 * cross[i] + own[i] - (owns - own[i]), trace - traces[i]),
            };
            let square = pairs / (count * (count - 1.0));
            if square > 0.0 {
                (trace / count).powi(2) / square
            } else {
                f64::INFINITY
            }
        };
        let plain = if all > 0.0 { trace * trace / all } else { 0.0 };
        if n < 3 || all == 0.0 {
            return (plain, if all == 0.0 { 0.0 } else { f64::INFINITY });
        }
        match jackknife(n, statistic) {
            (value, error) if value.is_finite() && error.is_finite() => (value, error),
            _ => (plain, f64::INFINITY),
        }
    }

    /// The mean of all. No error is below rounding, and no effective rank below 1 or above d.
    pub fn finish(self, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Marginal {
        let d = self.size;
        let matrix: Vec<f64> = self.entries.iter().map(Running::mean).collect();
        let root = |i: usize| matrix[i * d + i].abs().sqrt();
        let rounding = |i: usize| self.epsilon * root(i / d) * root(i % d);
        let errors = self.entries.iter().enumerate().map(|(i, e)| of(e).1.max(rounding(i))).collect();
        let (eigenvalues, eigenvectors) = eigen(&matrix, d);
        let (rank, error) = self.effective_rank();
        let effective_rank = (if rank == 0.0 { rank } else { rank.clamp(1.0, d.max(1) as f64) }, error);
        let trace = of(&self.trace);
        Marginal { size: d, matrix, errors, eigenvalues, eigenvectors, effective_rank, trace, matvecs, stop, history }
    }
}

/// A marginal without noise.
pub(crate) fn exact(d: usize, mut matrix: Vec<f64>, matvecs: usize, epsilon: f64) -> Marginal {
    // A symmetric part of a symmetric operator, but for rounding.
    for (i, j) in (0..d).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let mean = 0.5 * (matrix[i * d + j] + matrix[j * d + i]);
        (matrix[i * d + j], matrix[j * d + i]) = (mean, mean);
    }
    let (eigenvalues, eigenvectors) = eigen(&matrix, d);
    let (trace, square) = eigenvalues.iter().fold((0.0, 0.0), |(t, s), v| (t + v, s + v * v));
    let rank = if square > 0.0 { (trace * trace / square).clamp(1.0, d.max(1) as f64) } else { 0.0 };
    // In double precision an exact method is without error; in single its products are not.
    let rounding = |i: usize| (matrix[i / d * (d + 1)] * matrix[i % d * (d + 1)]).abs().sqrt() * epsilon;
    let of = |x: f64| if epsilon > f64::EPSILON { x } else { 0.0 };
    Marginal {
        size: d,
        errors: (0..d * d).map(|i| of(rounding(i))).collect(),
        eigenvalues,
        eigenvectors,
        effective_rank: (rank, of(2.0 * epsilon * rank)),
        trace: (trace, of(epsilon * trace.abs())),
        matvecs,
        stop: StopReason::Exact,
        history: vec![[matvecs as f64, trace, of(epsilon * trace.abs())]],
        matrix,
    }
}
