//! Ranks that are not whole numbers: effective rank and stable rank.

use crate::pair_statistic::{ratio, trace_mean};
use crate::sampling::{jackknife, sample, MIN_SAMPLES};
use crate::space::{Budget, Small, Space, TESTS};
use crate::{Estimate, Result, StopReason};

/// Estimates the effective rank tr(A)²/‖A‖_F² (participation ratio) of a symmetric operator from the same products: xᵀAx and ‖Ax‖². Collective.
///
/// **Cost**: one product a sample. **Accuracy**: bias of the ratio corrected, and standard error, by the jackknife. The zero operator has effective rank 0.
pub fn effective_rank_sampled<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let (mut traces, mut squares) = (Vec::new(), Vec::new());
    sample(space, budget, 1, |first, m| {
        let x = space.draw(TESTS, first, m);
        let y = space.apply(&x)?;
        traces.extend(space.dots(&x, &y)?);
        squares.extend(space.dots(&y, &y)?);
        let sums = [&traces, &squares].map(|v: &Vec<f64>| v.iter().sum::<f64>());
        if !sums[1].is_finite() {
            return Ok((f64::NAN, f64::NAN));
        }
        space.small(Small::default(), |_| {
            Ok(jackknife(traces.len(), |without| {
                let (trace, square) = (trace_mean(sums[0], &traces, without), trace_mean(sums[1], &squares, without));
                ratio(trace * trace, square)
            }))
        })
    })
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
    let history = frobenius.history.iter().map(|h| {
        let (value, error) = combine(trace.value, trace.standard_error, h[1], h[2]);
        [trace.matvecs as f64 + h[0], value, error]
    });
    let history = history.collect();
    let of = (value, standard_error);
    combined([trace, frobenius], of, rtol, history)
}

/// The stable rank ‖A‖_F² / ‖A‖² from its two parts, errors by the delta method.
///
/// The zero operator has stable rank 0.
pub fn stable_rank(frobenius: &Estimate, norm: &Estimate, rtol: f64) -> Estimate {
    let doubled = |e: &Estimate| 2.0 * ratio(e.standard_error, e.value.abs());
    let [top_error, bottom_error] = [frobenius, norm].map(doubled);
    // The ratio first: squares leave the range long before it does.
    let value = ratio(frobenius.value, norm.value).powi(2);
    let unknown = frobenius.standard_error.is_infinite() || norm.standard_error.is_infinite();
    let error = if unknown { f64::INFINITY } else { value * top_error.hypot(bottom_error) };
    let matvecs = (frobenius.matvecs + norm.matvecs) as f64;
    combined([frobenius, norm], (value, error), rtol, vec![[matvecs, value, error]])
}

/// An estimate made of two.
fn combined(parts: [&Estimate; 2], (value, standard_error): (f64, f64), rtol: f64, history: Vec<[f64; 3]>) -> Estimate {
    // A part that ran out of products before its samples could tell their own scatter vouches for nothing.
    let few = |e: &Estimate| e.stop == StopReason::Budget && e.matvecs < 2 * MIN_SAMPLES;
    let stop = match (parts[0].stop, parts[1].stop) {
        (StopReason::Exact, StopReason::Exact) => StopReason::Exact,
        (StopReason::Overflow, _) | (_, StopReason::Overflow) => StopReason::Overflow,
        _ if parts.iter().any(|p| few(p)) => StopReason::Budget,
        _ if standard_error <= rtol * value => StopReason::Tolerance,
        _ => StopReason::Budget,
    };
    Estimate { value, standard_error, matvecs: parts[0].matvecs + parts[1].matvecs, stop, history }
}
