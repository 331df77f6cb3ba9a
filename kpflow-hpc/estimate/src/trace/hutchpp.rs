//! Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

use super::range::Range;
use super::Sketch;
use crate::factor::trace;
use crate::interval::Bar;
use crate::sampling::{grow, mean_of_squares};
use crate::space::{Budget, Small, Space, TESTS};
use crate::{Estimate, Result};

/// Estimates the trace of a symmetric operator as `tr(QᵀAQ) + E xᵀ(I − QQᵀ)A(I − QQᵀ)x`, Q = orth(AΩ). Collective.
///
/// A third of the products each makes AΩ, AQ and the samples. Samples are products with x itself, projected afterwards:
/// a larger sketch keeps all of them.
/// **Cost**: the budget, O(n m²) flops beside it, 2 m vectors. **Accuracy**: unbiased; relative error O(1/m) for a positive semidefinite A.
/// The standard error is that of the samples' mean, given the sketch.
pub fn hutchpp<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let (mut range, mut tests) = (Range::new(space), Sketch::new(space, TESTS));
    grow(space, budget, space.len().saturating_mul(3), |total| {
        let k = (total / 3).min(space.len());
        if !range.extend(space, k)? {
            return Ok(Bar::NAN);
        }
        let h = range.project(space)?;
        let _h = space.hold(k * k);
        let known = trace(&h);
        if k > 0 && range.spans(space) {
            return Ok(Bar::normal(known, space.epsilon() * known.abs()));
        }
        let t = total - 2 * k;
        let _coordinates = space.hold(2 * k * t);
        tests.extend(space, t)?;
        let (c, d) = (range.coordinates(space, &tests.omega)?, range.coordinates(space, &tests.y)?);
        let forms = space.dots(&tests.omega, &tests.y)?;
        let small = Small { flops: 2.0 * (k * k) as f64 * t as f64, numbers: k * (4 * k + 3 * t) };
        space.small(small, |_| {
            let hc = &h * &c;
            let sample = |(i, q): (usize, &f64)| {
                let dot = |x: faer::ColRef<'_, f64>| c.col(i).transpose() * x;
                q - 2.0 * dot(d.col(i)) + dot(hc.col(i))
            };
            let samples: Vec<f64> = forms.iter().enumerate().map(sample).collect();
            Ok(mean_of_squares(&samples).plus(known))
        })
    })
}
