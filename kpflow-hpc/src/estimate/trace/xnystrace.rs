//! XNysTrace: the exchangeable Nyström trace estimator (Epperly, Tropp and Webber 2024).

use super::Sketch;
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::factor::{squares, symmetric, triangle_of_all, Core};
use crate::estimate::sampling::{grow, mean, ValueError};
use crate::estimate::{Budget, Estimate, Problem, SKETCHES};
use faer::Mat;
use kpflow_core::probe::Distribution;

/// Estimates the trace of a positive semidefinite operator: each probe in turn is the test of the Nyström approximation Â_i by the others,
/// `tr Â_i + ω_iᵀ(A − Â_i)ω_i`, and the mean over i is taken. Collective.
///
/// With H = ΩᵀAΩ and Y = AΩ everything follows by downdating: tr Â_i = tr Â − ‖Y H⁻¹e_i‖²/(H⁻¹)_ii and ω_iᵀ(A − Â_i)ω_i = 1/(H⁻¹)_ii. Normal
/// probes are resphered: what is left of ω_i outside of the others' span counts with the norm that it should have had.
/// A is shifted by ν = ε‖Y‖_F/√n for the factors' sake, and the shift undone. Where H shows fewer independent directions than there are probes, the
/// approximation is A itself, and there is nothing left to sample.
///
/// **Cost**: one product a probe, O(n m²) flops beside it, 3 m vectors. **Accuracy**: unbiased; the error falls as fast as the spectrum does, and
/// as 1/√m at worst. The standard error is √(variance of the m estimates / m), which is right in practice (Epperly, Tropp and Webber, §3).
/// **Errors**: A is not positive semidefinite.
pub fn xnystrace<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let n = problem.len();
    let mut sketch = Sketch::new(problem, SKETCHES);
    grow(problem, budget, n, |total| {
        sketch.extend(problem, total);
        let squared: f64 = problem.dots(&sketch.y, &sketch.y).iter().sum();
        if !squared.is_finite() {
            return Ok((f64::NAN, f64::NAN));
        }
        let epsilon = T::epsilon().f64();
        let shift = epsilon * (squared / n as f64).sqrt();
        let y = sketch.shifted(shift);
        let own = symmetric(&problem.gram(&sketch.omega, &sketch.omega), total);
        let h = symmetric(&problem.gram(&sketch.omega, &y), total);
        let r = triangle_of_all(problem, &y);
        let values = leave_one_out(&Small { n, shift, own, h, r, distribution: SKETCHES.distribution }, epsilon)?;
        Ok(summary(&values, epsilon))
    })
}

/// What a leave-one-out estimate needs to know of probes and products.
pub(super) struct Small {
    /// Numbers of a vector.
    pub n: usize,
    /// ν.
    pub shift: f64,
    /// ΩᵀΩ.
    pub own: Mat<f64>,
    /// Ωᵀ(A + ν)Ω.
    pub h: Mat<f64>,
    /// R with RᵀR = Yᵀ Y, Y = (A + ν)Ω.
    pub r: Mat<f64>,
    /// Of the probes.
    pub distribution: Distribution,
}

/// The m estimates of the trace, each with another probe left out.
pub(super) fn leave_one_out(small: &Small, epsilon: f64) -> Result<Vec<f64>> {
    let Small { n, shift, own, h, r, distribution } = small;
    let m = h.nrows();
    let core = Core::new(h, epsilon)?;
    let b = core.whiten(r.transpose());
    let trace = squares(&b).iter().sum::<f64>() - shift * *n as f64;
    if core.is_deficient() {
        return Ok(vec![trace; m]);
    }
    let inverse = core.whiten(Mat::identity(m, m).as_ref());
    let diagonal = squares(&inverse);
    let lost = squares(&(b.transpose() * &inverse));
    let scale = match distribution {
        // The part of ω_i outside of the others' span has the squared norm 1/((ΩᵀΩ)⁻¹)_ii; in the mean it has n − m + 1.
        Distribution::Gaussian => match Core::new(own, epsilon)? {
            core if core.is_deficient() => vec![1.0; m],
            core => {
                let outside = squares(&core.whiten(Mat::identity(m, m).as_ref()));
                outside.into_iter().map(|s| s * (n + 1 - m) as f64).collect()
            }
        },
        Distribution::Rademacher => vec![1.0; m],
    };
    Ok((0..m).map(|i| trace - lost[i] / diagonal[i] + scale[i] / diagonal[i]).collect())
}

/// Mean and standard error, never below rounding.
pub(super) fn summary(values: &[f64], epsilon: f64) -> ValueError {
    let (value, error) = mean(values);
    (value, error.max(epsilon * value.abs()))
}
