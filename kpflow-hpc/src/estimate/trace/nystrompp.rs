//! Nyström++ (Persson, Cortinovis and Kressner 2022).

use super::{Factors, Sketch};
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::factor::{squares, trace};
use crate::estimate::sampling::{grow, mean_of_squares};
use crate::estimate::{Budget, Estimate, Problem, SKETCHES, TESTS};
use faer::Mat;

/// Estimates the trace of a positive semidefinite operator as `tr Â + E xᵀ(A − Â)x`, Â = Y(ΩᵀY)⁺Yᵀ with Y = AΩ. Collective.
///
/// Half of the products make Y, half the samples; Â is made of the shifted A + ν, ν = ε‖Y‖_F/√n, and the shift drops out of the sum.
/// **Cost**: the budget, O(n m²) flops beside it, 2 m vectors. **Accuracy**: unbiased; relative error O(1/m). The standard error is that of the samples'
/// mean, given the sketch. **Errors**: A is not positive semidefinite.
pub fn nystrompp<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let n = problem.len();
    let (mut sketch, mut tests) = (Sketch::new(problem, SKETCHES), Sketch::new(problem, TESTS));
    grow(problem, budget, n.saturating_mul(2), |total| {
        let k = (total / 2).min(n);
        sketch.extend(problem, k);
        tests.extend(problem, total - k);
        let forms = problem.dots(&tests.omega, &tests.y);
        if forms.iter().any(|q| !q.is_finite()) {
            return Ok((f64::NAN, f64::NAN));
        }
        if k == 0 {
            return Ok(mean_of_squares(&forms));
        }
        let Some(factors) = sketch.factors(problem)? else { return Ok((f64::NAN, f64::NAN)) };
        let Factors { shift, core, inside, .. } = factors;
        let epsilon = T::epsilon().f64();
        let known = trace(&inside);
        let c = problem.gram(&sketch.shifted(shift), &tests.omega);
        let inside = squares(&core.whiten(Mat::from_fn(k, forms.len(), |i, j| c[i * forms.len() + j]).as_ref()));
        let samples: Vec<f64> = forms.iter().zip(inside).map(|(form, inside)| form - inside).collect();
        let (rest, error) = mean_of_squares(&samples);
        let value = known + rest;
        // Where Â is A to rounding, samples of what it leaves are rounding, and none of them need be as small as their scatter.
        let error = if core.is_deficient() || k == n { root_mean_square(&samples) } else { error };
        Ok((value, error.max(epsilon * value.abs())))
    })
}

fn root_mean_square(x: &[f64]) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len().max(1) as f64).sqrt()
}
