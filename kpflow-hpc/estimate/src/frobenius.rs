//! The Frobenius norm.

use crate::interval::Bar;
use crate::sampling::{grow, jackknife, mean_of_squares, sample};
use crate::space::{Budget, Small, Space, TESTS};
use crate::trace::{Range, Sketch};
use crate::{Estimate, Result};

/// The largest sketch: beyond it samples are worth more than directions.
const MAX_SKETCH: usize = 128;

/// Estimates ‖A‖_F = √E‖Ax‖² (Hutchinson 1990, for AᵀA) of any operator. Collective.
///
/// **Cost**: one product a sample. **Accuracy**: the square is unbiased; the root is corrected for its bias, and its standard error
/// found, by the jackknife.
pub fn frobenius<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let mut squares = Vec::new();
    sample(space, budget, 1, |first, m| {
        let y = space.apply(&space.draw(TESTS, first, m))?;
        squares.extend(space.dots(&y, &y)?);
        space.small(Small::default(), |_| Ok(root(0.0, &squares)))
    })
}

/// Estimates ‖A‖_F of a symmetric operator as Hutch++ does the trace of A² (Meyer, Musco, Musco and Woodruff 2021). Collective.
///
/// Q = orth(AΩ) from k normal probes, then `‖A‖_F² = ‖AQ‖_F² + E‖A(I − QQᵀ)x‖²`, the first term exactly. Samples are products with x itself,
/// projected afterwards: a larger sketch keeps all of them.
/// **Cost**: k = a quarter of the products, at most 128, for AΩ, as many for AQ, the others for samples. **Accuracy**: the standard error is the
/// samples', given the sketch, by the jackknife; at rounding where nothing is left to sample.
pub fn frobenius_deflated<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let (mut range, mut tests) = (Range::new(space), Sketch::new(space, TESTS));
    grow(space, budget, usize::MAX, |total| {
        let k = (total / 4).min(MAX_SKETCH).min(space.len());
        if !range.extend(space, k)? {
            return Ok(Bar::NAN);
        }
        let known: f64 = space.dots(&range.aq, &range.aq)?.iter().sum();
        if k > 0 && range.spans(space) {
            return Ok(Bar::normal(known.sqrt(), space.epsilon() * known.sqrt()));
        }
        tests.extend(space, total - 2 * k)?;
        let c = space.gram(&range.q, &tests.omega)?;
        let _held = space.hold(k * (total - 2 * k));
        let mut rest = space.copy(&tests.y);
        space.add_product(&mut rest, -1.0, &range.aq, &c);
        let squares = space.dots(&rest, &rest)?;
        space.small(Small::default(), |_| Ok(root(known, &squares)))
    })
}

/// √(known + the mean of samples): corrected for its bias by the jackknife, within the root of the mean's interval.
fn root(known: f64, samples: &[f64]) -> Bar {
    let (sum, n) = (samples.iter().sum::<f64>(), samples.len());
    let without = |i: Option<usize>| match i {
        Some(i) => (known + (sum - samples[i]).max(0.0) / (n - 1) as f64).sqrt(),
        None => (known + sum / n.max(1) as f64).sqrt(),
    };
    if !sum.is_finite() {
        return Bar::NAN;
    }
    let interval = mean_of_squares(samples).plus(known).interval;
    Bar::within(jackknife(n, without).0, interval.map(|x| x.max(0.0).sqrt()))
}
