//! Nyström++ (Persson, Cortinovis and Kressner 2022).

use super::{Factors, Sketch};
use crate::factor::{squares, trace};
use crate::interval::Bar;
use crate::sampling::{grow, mean_of_squares};
use crate::space::{Budget, Small, Space, SKETCHES, TESTS};
use crate::{Estimate, Result};
use faer::Mat;

/// Estimates the trace of a positive semidefinite operator as `tr Â + E xᵀ(A − Â)x`, Â = Y(ΩᵀY)⁺Yᵀ with Y = AΩ. Collective.
///
/// Half of the products make Y, half the samples; Â is made of the shifted A + ν, ν = ε‖Y‖_F/√n, and the shift drops out of the sum.
/// **Cost**: the budget, O(n m²) flops beside it, 2 m vectors. **Accuracy**: unbiased; relative error O(1/m). The standard error is that of the samples'
/// mean, given the sketch. **Errors**: A is not positive semidefinite.
pub fn nystrompp<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let n = space.len();
    let (mut sketch, mut tests) = (Sketch::new(space, SKETCHES), Sketch::new(space, TESTS));
    grow(space, budget, n.saturating_mul(2), |total| {
        let k = (total / 2).min(n);
        sketch.extend(space, k)?;
        tests.extend(space, total - k)?;
        let forms = space.dots(&tests.omega, &tests.y)?;
        if forms.iter().any(|q| !q.is_finite()) {
            return Ok(Bar::NAN);
        }
        if k == 0 {
            return Ok(mean_of_squares(&forms));
        }
        let factors = sketch.factors(space)?;
        let _held = space.hold(4 * k * k);
        let shift = factors.as_ref().map_or(0.0, |f| f.shift);
        let c = space.gram(&sketch.shifted(space, shift), &tests.omega)?;
        let small = Small { flops: (k * k * (total - k)) as f64, numbers: 3 * k * (total - k) };
        space.small(small, |_| {
            let Some(Factors { core, inside, .. }) = &factors else { return Ok(Bar::NAN) };
            let epsilon = space.epsilon();
            let known = trace(inside);
            let inside = squares(&core.whiten(Mat::from_fn(k, forms.len(), |i, j| c[i * forms.len() + j]).as_ref()));
            let samples: Vec<f64> = forms.iter().zip(inside).map(|(form, inside)| form - inside).collect();
            let found = mean_of_squares(&samples).plus(known);
            // Where Â is A to rounding, samples of what it leaves are rounding, and none of them need be as small as their scatter.
            let found = match core.is_deficient() || k == n {
                true => Bar::normal(found.value, root_mean_square(&samples)),
                false => found,
            };
            Ok(found.at_least(epsilon * found.value.abs()))
        })
    })
}

fn root_mean_square(x: &[f64]) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len().max(1) as f64).sqrt()
}
