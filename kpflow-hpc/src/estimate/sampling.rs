//! How estimates grow: sample after sample, or sketch after larger sketch, until they are good enough; and the jackknife.

use super::{Budget, Estimate, Problem, StopReason};
use crate::engine::Real;
use crate::error::Result;

/// Fewer samples than this say nothing reliable of their own scatter.
pub(super) const MIN_SAMPLES: usize = 10;

/// A value and its standard error.
pub(super) type ValueError = (f64, f64);

/// Takes blocks of samples until the standard error is within the tolerance or the budget is spent.
///
/// `sample(first, m)` spends m products on the probes `first ..` and returns the value and standard error so far.
pub(super) fn sample<T: Real>(
    problem: &Problem<'_, T>,
    budget: &Budget,
    mut sample: impl FnMut(usize, usize) -> ValueError,
) -> Estimate {
    let mut taken = 0;
    let mut log = Log::new(problem, budget);
    loop {
        let m = problem.next_block(budget, usize::MAX);
        if m == 0 {
            return log.end(StopReason::Budget);
        }
        let estimate = sample(taken, m);
        taken += m;
        if let Some(stop) = log.tell(estimate, taken) {
            return log.end(stop);
        }
    }
}

/// Enlarges a sketch, by half of itself at a time, until the standard error is within the tolerance, the budget is spent or a sketch of
/// `most` products, which is all that can be learned from, is there.
///
/// `stage(total)` goes on from the products of the stages before to `total` of them and returns the value and its standard error.
pub(super) fn grow<T: Real>(
    problem: &Problem<'_, T>,
    budget: &Budget,
    most: usize,
    mut stage: impl FnMut(usize) -> Result<ValueError>,
) -> Result<Estimate> {
    let most = most.min(budget.max_matvecs.saturating_sub(problem.matvecs()));
    let mut log = Log::new(problem, budget);
    let mut total = FIRST.max(problem.block).min(most);
    while total > 0 {
        let estimate = stage(total)?;
        let stop = log.tell(estimate, total);
        if stop.is_some() || total == most {
            return Ok(log.end(stop.unwrap_or(StopReason::Budget)));
        }
        total = (total + total / 2).next_multiple_of(problem.block).min(most);
    }
    Ok(log.end(StopReason::Budget))
}

/// Products of the smallest sketch that is worth looking at.
const FIRST: usize = 12;

/// The history of an estimate, and when it ends.
struct Log<'p, 'a, T> {
    problem: &'p Problem<'a, T>,
    rtol: f64,
    history: Vec<[f64; 3]>,
}

impl<'p, 'a, T: Real> Log<'p, 'a, T> {
    fn new(problem: &'p Problem<'a, T>, budget: &Budget) -> Self {
        Self { problem, rtol: budget.rtol, history: Vec::new() }
    }

    /// Takes note of an estimate from so many samples; says whether it ends the run.
    fn tell(&mut self, (value, standard_error): ValueError, samples: usize) -> Option<StopReason> {
        if !value.is_finite() || standard_error.is_nan() {
            return Some(StopReason::Overflow);
        }
        let matvecs = self.problem.matvecs();
        self.history.push([matvecs as f64, value, standard_error]);
        (self.problem.progress)(matvecs, value, standard_error);
        // Nothing is gained below rounding.
        let good = standard_error <= self.rtol.max(2.0 * T::epsilon().f64()) * value.abs();
        (good && (samples >= MIN_SAMPLES || samples >= self.problem.len())).then_some(StopReason::Tolerance)
    }

    fn end(self, stop: StopReason) -> Estimate {
        let matvecs = self.problem.matvecs();
        if stop == StopReason::Overflow {
            return Estimate::overflow(matvecs, self.history);
        }
        let (value, standard_error) = self.history.last().map_or((0.0, f64::INFINITY), |h| (h[1], h[2]));
        Estimate { value, standard_error, matvecs, stop, history: self.history }
    }
}

/// The mean of numbers and its standard error; infinite below two of them.
pub(super) fn mean(numbers: &[f64]) -> ValueError {
    let mut running = kpflow_core::probe::Running::default();
    numbers.iter().for_each(|&x| running.push(x));
    (running.mean(), running.standard_error())
}

/// The jackknife (Quenouille 1956, Tukey 1958): `f` of all of n samples, corrected for its bias of order 1/n, and the standard error.
///
/// `f(Some(i))` is the statistic without sample i, `f(None)` of all. Below two samples nothing is known of the error.
pub(super) fn jackknife(n: usize, f: impl Fn(Option<usize>) -> f64) -> ValueError {
    let all = f(None);
    if n < 2 {
        return (all, f64::INFINITY);
    }
    let without: Vec<f64> = (0..n).map(|i| f(Some(i))).collect();
    let count = n as f64;
    let mean = without.iter().sum::<f64>() / count;
    let scatter = without.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (count * all - (count - 1.0) * mean, ((count - 1.0) / count * scatter).sqrt())
}
