//! Hutchinson's trace estimator (1990).

use super::{Budget, Estimate, Problem, StopReason};
use crate::engine::Real;
use kpflow_core::probe::Distribution;

/// Fewer samples than this say nothing reliable of their own scatter.
pub(super) const MIN_SAMPLES: usize = 10;

/// Mean and variance of numbers that come one by one (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Running {
    pub count: usize,
    pub mean: f64,
    squares: f64,
}

impl Running {
    pub fn push(&mut self, x: f64) {
        self.count += 1;
        let d = x - self.mean;
        self.mean += d / self.count as f64;
        self.squares += d * (x - self.mean);
    }
    /// The variance of one sample; infinite where a single one cannot tell.
    pub fn variance(&self) -> f64 {
        if self.count < 2 {
            f64::INFINITY
        } else {
            self.squares / (self.count - 1) as f64
        }
    }
    pub fn standard_error(&self) -> f64 {
        (self.variance() / self.count.max(1) as f64).sqrt()
    }
}

/// Takes blocks of samples until the standard error is within the tolerance or the budget is spent.
///
/// `sample(first, m)` spends m products on the probes `first ..` and returns the value and standard error so far.
pub(super) fn sample<T: Real>(
    problem: &Problem<'_, T>,
    budget: &Budget,
    mut sample: impl FnMut(usize, usize) -> (f64, f64),
) -> Estimate {
    let (mut taken, mut history) = (0, Vec::new());
    loop {
        let m = problem.next_block(budget, usize::MAX);
        let (value, standard_error) = history.last().map_or((0.0, f64::INFINITY), |h: &[f64; 3]| (h[1], h[2]));
        if m == 0 {
            return Estimate { value, standard_error, matvecs: problem.matvecs(), stop: StopReason::Budget, history };
        }
        let (value, standard_error) = sample(taken, m);
        taken += m;
        if !value.is_finite() || standard_error.is_nan() {
            return Estimate::overflow(problem.matvecs(), history);
        }
        history.push([problem.matvecs() as f64, value, standard_error]);
        (problem.progress)(problem.matvecs(), value, standard_error);
        if taken >= MIN_SAMPLES && standard_error <= budget.rtol * value.abs() {
            return Estimate {
                value,
                standard_error,
                matvecs: problem.matvecs(),
                stop: StopReason::Tolerance,
                history,
            };
        }
    }
}

/// Estimates tr A as the mean of xᵀAx over Rademacher probes x. Collective.
///
/// **Cost**: one product a sample. **Accuracy**: variance 2 Σ_{i≠j} A_ij² a sample; the standard error is that of the mean.
pub fn hutchinson<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Estimate {
    let mut running = Running::default();
    sample(problem, budget, |first, m| {
        let x = problem.probes(Distribution::Rademacher, 0, first, m);
        let y = problem.apply(&x);
        problem.dots(&x, &y).into_iter().for_each(|q| running.push(q));
        (running.mean, running.standard_error())
    })
}
