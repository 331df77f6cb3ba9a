//! The Frobenius norm and the effective rank.

use super::hutchinson::{sample, Running};
use super::small::orthogonalise;
use super::{Budget, Estimate, Problem, StopReason};
use crate::engine::Real;
use kpflow_core::probe::Distribution;

/// Whether the large directions are taken out before sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sketch {
    /// No: ‖A‖_F² = E‖Ax‖² (Hutchinson 1990, for AᵀA).
    None,
    /// Yes, as Hutch++ does for AᵀA (Meyer, Musco, Musco and Woodruff 2021).
    Deflate,
}

/// The largest sketch: beyond it samples are worth more than directions.
const MAX_SKETCH: usize = 128;

/// Estimates ‖A‖_F of a symmetric operator. Collective.
///
/// With a sketch: Q = orth(AΩ) from k Gaussian probes, then `‖A‖_F² = ‖AQ‖_F² + E‖A(I − QQᵀ)x‖²`, the first term exactly. **Cost**: 2k products,
/// then one a sample; k is a quarter of the budget, at most 128. **Accuracy**: the standard error is the samples', given the sketch,
/// carried to the norm by the delta method; 0 only where nothing is left to sample.
pub fn frobenius<T: Real>(problem: &Problem<'_, T>, budget: &Budget, sketch: Sketch) -> Estimate {
    let k = match sketch {
        Sketch::None => 0,
        Sketch::Deflate => (budget.max_matvecs / 4).min(MAX_SKETCH).min(problem.len()),
    };
    let omega = problem.probes(Distribution::Gaussian, 1, 0, k);
    let (mut q, mut known) = (omega, 0.0);
    if k > 0 {
        let y = problem.apply(&q);
        let largest = problem.dots(&y, &y).into_iter().fold(0.0, f64::max).sqrt();
        q = orthogonalise(problem, &[], y, largest * T::epsilon().f64()).q;
        let aq = problem.apply(&q);
        known = problem.dots(&aq, &aq).into_iter().sum();
        // Fewer directions than the sketch asked for: they span the whole range.
        if q.vectors < k || k == problem.len() {
            return Estimate::exact(known.sqrt(), problem.matvecs());
        }
    }
    let mut running = Running::default();
    // The tolerance is the norm's: half of its square's.
    let norm = |square: f64, error: f64| {
        let norm = square.max(0.0).sqrt();
        (norm, if error == 0.0 { 0.0 } else { error / (2.0 * norm) })
    };
    let mut estimate = sample(problem, budget, |first, m| {
        let mut x = problem.probes(Distribution::Rademacher, 2, first, m);
        if q.vectors > 0 {
            let c = problem.gram(&q, &x);
            x.add_product(-1.0, &q, &c, problem.engine);
        }
        let y = problem.apply(&x);
        problem.dots(&y, &y).into_iter().for_each(|s| running.push(s));
        norm(known + running.mean, running.standard_error())
    });
    if estimate.history.is_empty() {
        // The sketch alone is a lower bound, and says nothing of what it misses.
        estimate.value = known.sqrt();
    }
    estimate
}

/// The effective rank tr(A)² / ‖A‖_F² (participation ratio) from its two parts, errors by the delta method.
///
/// The zero operator has effective rank 0.
pub fn effective_rank(trace: &Estimate, frobenius: &Estimate, rtol: f64) -> Estimate {
    let combine = |trace: f64, trace_error: f64, norm: f64, norm_error: f64| {
        if norm == 0.0 {
            return (0.0, 0.0);
        }
        let value = (trace / norm).powi(2);
        let part = |x: f64, e: f64| if e == 0.0 { 0.0 } else { 2.0 * e / x.abs() };
        (value, value * part(trace, trace_error).hypot(part(norm, norm_error)))
    };
    let (value, standard_error) = combine(trace.value, trace.standard_error, frobenius.value, frobenius.standard_error);
    let matvecs = trace.matvecs + frobenius.matvecs;
    let history = frobenius.history.iter().map(|h| {
        let (value, error) = combine(trace.value, trace.standard_error, h[1], h[2]);
        [trace.matvecs as f64 + h[0], value, error]
    });
    let stop = match (trace.stop, frobenius.stop) {
        (StopReason::Exact, StopReason::Exact) => StopReason::Exact,
        _ if standard_error <= rtol * value => StopReason::Tolerance,
        _ => StopReason::Budget,
    };
    Estimate { value, standard_error, matvecs, stop, history: history.collect() }
}
