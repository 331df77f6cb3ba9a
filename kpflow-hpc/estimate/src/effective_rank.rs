//! Ranks that are not whole numbers: effective rank and stable rank.

use crate::interval::Bar;
use crate::pair_statistic::{ratio, trace_mean};
use crate::sampling::{jackknife, mean_of_squares, sample, within, MIN_SAMPLES};
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
            return Ok(Bar::NAN);
        }
        space.small(Small::default(), |_| {
            let (value, error) = jackknife(traces.len(), |without| {
                let (trace, square) = (trace_mean(sums[0], &traces, without), trace_mean(sums[1], &squares, without));
                ratio(trace * trace, square)
            });
            let Bar { value, interval: [low, high], .. } = Bar::positive(value.max(0.0), error);
            let ends = along(&traces, &squares);
            Ok(Bar::within(value, ends.into_iter().fold([low, high], |[a, b], x| [a.min(x), b.max(x)])))
        })
    })
}

/// The ratio where the mean of the traces is at an end of its own interval, and the mean of the squares goes with it as the samples do.
///
/// Near eigenvalues that are few and equal beside a floor the ratio is least at some mean below the true one: samples there do not scatter, and tell nothing of it.
fn along(traces: &[f64], squares: &[f64]) -> Vec<f64> {
    let n = traces.len().max(1) as f64;
    let [trace, square] = [traces, squares].map(|x| x.iter().sum::<f64>() / n);
    let (mut variance, mut covariance) = (0.0, 0.0);
    for (x, y) in traces.iter().zip(squares) {
        variance += (x - trace).powi(2);
        covariance += (x - trace) * (y - square);
    }
    let slope = ratio(covariance, variance);
    let at = |end: f64| match end.is_finite() {
        true => Some(end * end / (square + slope * (end - trace))).filter(|x| *x > 0.0 && x.is_finite()),
        false => Some(f64::INFINITY),
    };
    mean_of_squares(traces).interval.into_iter().filter_map(at).collect()
}

/// The effective rank tr(A)² / ‖A‖_F² (participation ratio) from its two parts.
///
/// The logarithms of the parts are independent, and the halves of their intervals add in squares, each side for itself (Zou and Donner 2008). Where the trace
/// may be 0 the lower end is 0. The zero operator has effective rank 0.
pub fn effective_rank(trace: &Estimate, frobenius: &Estimate, rtol: f64) -> Estimate {
    let of = |frobenius: &Estimate| {
        let norm = frobenius.value;
        let (t, e) = (trace.value / norm, trace.standard_error / norm);
        match (norm == 0.0, t > 0.0) {
            (true, _) => Bar::normal(0.0, frobenius.standard_error),
            (false, true) => squared_ratio(trace, frobenius),
            // A square near 0: Var t² = 4 t² σ² + 2 σ⁴ for a normal t.
            (false, false) => {
                let known = trace.standard_error.is_finite() && frobenius.standard_error.is_finite();
                let error = (2.0 * t * e).hypot(std::f64::consts::SQRT_2 * e * e);
                let error = error.hypot(2.0 * t * t * frobenius.standard_error / norm);
                Bar::normal(t * t, if known { error } else { f64::INFINITY }).clamped(0.0, f64::INFINITY)
            }
        }
    };
    let history = frobenius.history.iter().map(|h| {
        let bar = of(&Estimate::new(h[1], h[2], 0, frobenius.stop, Vec::new()));
        [trace.matvecs as f64 + h[0], bar.value, bar.error]
    });
    let history = history.collect();
    combined([trace, frobenius], of(frobenius), rtol, history)
}

/// The stable rank ‖A‖_F² / ‖A‖² from its two parts, as [`effective_rank`].
///
/// The zero operator has stable rank 0.
pub fn stable_rank(frobenius: &Estimate, norm: &Estimate, rtol: f64) -> Estimate {
    let bar = match frobenius.value > 0.0 && norm.value > 0.0 {
        true => squared_ratio(frobenius, norm),
        false => Bar::normal(0.0, ratio(frobenius.standard_error, norm.value.abs()).powi(2)),
    };
    let matvecs = (frobenius.matvecs + norm.matvecs) as f64;
    combined([frobenius, norm], bar, rtol, vec![[matvecs, bar.value, bar.error]])
}

/// (a/b)² of positive numbers.
fn squared_ratio(a: &Estimate, b: &Estimate) -> Bar {
    // The ratio first: squares leave the range long before it does.
    let value = (a.value / b.value).powi(2);
    // How far the ends of an interval are, in the logarithm.
    let halves = |e: &Estimate| e.interval.map(|end| (end.max(0.0) / e.value).ln().abs());
    let ([a_low, a_high], [b_low, b_high]) = (halves(a), halves(b));
    let (low, high) = (2.0 * a_low.hypot(b_high), 2.0 * a_high.hypot(b_low));
    Bar::within(value, [value * (-low).exp(), value * high.exp()])
}

/// An estimate made of two.
fn combined(parts: [&Estimate; 2], bar: Bar, rtol: f64, history: Vec<[f64; 3]>) -> Estimate {
    // A part that ran out of products before its samples could tell their own scatter vouches for nothing.
    let few = |e: &Estimate| e.stop == StopReason::Budget && e.matvecs < 2 * MIN_SAMPLES;
    let Bar { value, error, .. } = bar;
    let stop = match (parts[0].stop, parts[1].stop) {
        (StopReason::Exact, StopReason::Exact) => StopReason::Exact,
        (StopReason::Overflow, _) | (_, StopReason::Overflow) => StopReason::Overflow,
        _ if parts.iter().any(|p| few(p)) => StopReason::Budget,
        _ if within(rtol, error, value) => StopReason::Tolerance,
        _ => StopReason::Budget,
    };
    let matvecs = parts[0].matvecs + parts[1].matvecs;
    bar.estimate(matvecs, stop, history)
}
