//! The Frobenius norm and the effective rank.

use super::hutchinson::{sample, Running, MIN_SAMPLES};
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
        let squares = problem.dots(&y, &y);
        if squares.iter().any(|s| !s.is_finite()) {
            return Estimate::overflow(problem.matvecs(), Vec::new());
        }
        let largest = squares.into_iter().fold(0.0, f64::max).sqrt();
        q = orthogonalise(problem, &[], y, largest, largest * T::epsilon().f64()).q;
        let aq = problem.apply(&q);
        known = problem.dots(&aq, &aq).into_iter().sum();
        if !known.is_finite() {
            return Estimate::overflow(problem.matvecs(), Vec::new());
        }
        // Fewer directions than the sketch asked for: they span the whole range. In single precision the Gram matrix cannot tell
        // what is nothing from what is 10⁻² of the largest; there the rest is sampled.
        let spans = q.vectors < k && T::epsilon().f64() < 1e-10;
        if spans || largest == 0.0 || q.vectors == problem.len() {
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
            return (0.0, norm_error);
        }
        let value = (trace / norm).powi(2);
        if trace_error.is_infinite() || norm_error.is_infinite() {
            return (value, f64::INFINITY);
        }
        // Var t² = 4 t² σ² + 2 σ⁴ for a normal t: the second term is all there is where the trace is near 0.
        let (t, e) = ((trace / norm).abs(), trace_error / norm);
        let (first, second) = (2.0 * t * e, std::f64::consts::SQRT_2 * e * e);
        (value, first.hypot(second).hypot(2.0 * value * norm_error / norm))
    };
    let (value, standard_error) = combine(trace.value, trace.standard_error, frobenius.value, frobenius.standard_error);
    let matvecs = trace.matvecs + frobenius.matvecs;
    let history = frobenius.history.iter().map(|h| {
        let (value, error) = combine(trace.value, trace.standard_error, h[1], h[2]);
        [trace.matvecs as f64 + h[0], value, error]
    });
    // A part that ran out of products before its samples could tell their own scatter vouches for nothing.
    let few = |e: &Estimate| e.stop == StopReason::Budget && e.matvecs < 2 * MIN_SAMPLES;
    let stop = match (trace.stop, frobenius.stop) {
        (StopReason::Exact, StopReason::Exact) => StopReason::Exact,
        (StopReason::Overflow, _) | (_, StopReason::Overflow) => StopReason::Overflow,
        _ if few(trace) || few(frobenius) => StopReason::Budget,
        _ if standard_error <= rtol * value => StopReason::Tolerance,
        _ => StopReason::Budget,
    };
    Estimate { value, standard_error, matvecs, stop, history: history.collect() }
}
