//! Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

use super::range::Range;
use super::Sketch;
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::factor::trace;
use crate::estimate::sampling::{grow, mean_of_squares};
use crate::estimate::{Budget, Estimate, Problem, TESTS};

/// Estimates the trace of a symmetric operator as `tr(QᵀAQ) + E xᵀ(I − QQᵀ)A(I − QQᵀ)x`, Q = orth(AΩ). Collective.
///
/// A third of the products each makes AΩ, AQ and the samples. Samples are products with x itself, projected afterwards:
/// a larger sketch keeps all of them.
/// **Cost**: the budget, O(n m²) flops beside it, 2 m vectors. **Accuracy**: unbiased; relative error O(1/m) for a positive semidefinite A.
/// The standard error is that of the samples' mean, given the sketch.
pub fn hutchpp<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let (mut range, mut tests) = (Range::new(problem), Sketch::new(problem, TESTS));
    grow(problem, budget, problem.len().saturating_mul(3), |total| {
        let k = (total / 3).min(problem.len());
        if !range.extend(problem, k) {
            return Ok((f64::NAN, f64::NAN));
        }
        let h = range.project(problem);
        let known = trace(&h);
        if k > 0 && range.spans(problem) {
            return Ok((known, T::epsilon().f64() * known.abs()));
        }
        tests.extend(problem, total - 2 * k);
        let (c, d) = (range.coordinates(problem, &tests.omega), range.coordinates(problem, &tests.y));
        let hc = &h * &c;
        let forms = problem.dots(&tests.omega, &tests.y);
        let sample = |(i, q): (usize, &f64)| {
            let dot = |x: faer::ColRef<'_, f64>| c.col(i).transpose() * x;
            q - 2.0 * dot(d.col(i)) + dot(hc.col(i))
        };
        let samples: Vec<f64> = forms.iter().enumerate().map(sample).collect();
        let (rest, error) = mean_of_squares(&samples);
        Ok((known + rest, error))
    })
}
