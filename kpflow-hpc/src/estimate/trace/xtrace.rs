//! XTrace: the exchangeable trace estimator (Epperly, Tropp and Webber 2024).

use super::range::Range;
use super::xnystrace::summary;
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::factor::squares;
use crate::estimate::sampling::grow;
use crate::estimate::{Budget, Estimate, Problem};
use faer::linalg::solvers::DenseSolveCore;
use faer::Mat;

/// Estimates the trace of a symmetric operator: each probe in turn is the test of the low-rank approximation by the others, and the mean is taken. Collective.
///
/// With AΩ = QR, leaving probe i out takes one direction s_i from Q, the i-th column of R⁻ᵀ normalised: Q_iQ_iᵀ = Q(I − s_i s_iᵀ)Qᵀ, and
/// `tr(Q_iᵀAQ_i) + c_i x_iᵀAx_i` with x_i = (I − Q_iQ_iᵀ)ω_i, resphered by c_i = (n − m + 1)/‖x_i‖². Where R is rank-deficient leaving a probe
/// out takes nothing from Q, and no triangle is inverted.
/// **Cost**: two products a probe, O(n m²) flops beside it, 4 m vectors. **Accuracy**: unbiased; the error falls as fast as the singular values.
/// The standard error is √(variance of the m estimates / m).
pub fn xtrace<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let n = problem.len();
    let mut range = Range::new(problem);
    grow(problem, budget, n.saturating_mul(2), |total| {
        // One product alone makes no range: it is a sample.
        let m = (total / 2).max(1).min(n);
        if total < 2 {
            range.sketch.extend(problem, 1);
            let (square, form) = (
                problem.dots(&range.sketch.omega, &range.sketch.omega)[0],
                problem.dots(&range.sketch.omega, &range.sketch.y)[0],
            );
            return Ok((form * n as f64 / square, f64::INFINITY));
        }
        if !range.extend(problem, m) {
            return Ok((f64::NAN, f64::NAN));
        }
        let h = range.project(problem);
        let known: f64 = (0..h.nrows()).map(|i| h[(i, i)]).sum();
        if range.spans(problem) {
            return Ok((known, T::epsilon().f64() * known.abs()));
        }
        let (omega, y) = (&range.sketch.omega, &range.sketch.y);
        let w = range.coordinates(problem, omega);
        let (lengths, forms) = (problem.dots(omega, omega), problem.dots(omega, y));
        let s = match range.r.nrows() == m {
            true => directions(&range.r),
            false => Mat::zeros(range.r.nrows(), m),
        };
        let along = |a: &Mat<f64>, b: &Mat<f64>, i: usize| a.col(i).transpose() * b.col(i);
        let v = Mat::from_fn(w.nrows(), m, |p, i| w[(p, i)] - s[(p, i)] * along(&s, &w, i));
        let (hs, hv, lost) = (&h * &s, &h * &v, squares(&v));
        let estimates = (0..m).map(|i| {
            let form = forms[i] - 2.0 * along(&v, &range.r, i) + along(&v, &hv, i);
            let left = lengths[i] - lost[i];
            let scale = if left > 1e-8 * lengths[i] { (n + 1 - m) as f64 / left } else { 0.0 };
            known - along(&s, &hs, i) + scale * form
        });
        Ok(summary(&estimates.collect::<Vec<f64>>(), T::epsilon().f64()))
    })
}

/// The columns of R⁻ᵀ, normalised.
fn directions(r: &Mat<f64>) -> Mat<f64> {
    let inverse = r.partial_piv_lu().inverse();
    let norms = squares(&inverse.transpose().to_owned());
    Mat::from_fn(r.nrows(), r.ncols(), |p, i| inverse[(i, p)] / norms[i].sqrt())
}
