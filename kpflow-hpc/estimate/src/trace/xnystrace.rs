//! XNysTrace: the exchangeable Nyström trace estimator (Epperly, Tropp and Webber 2024).

use super::{Factors, Sketch};
use crate::factor::trace;
use crate::interval::ValueError;
use crate::sampling::{grow, jackknife_error, leaving_out, student};
use crate::small::product;
use crate::space::{Budget, Small, Space, SKETCHES};
use crate::whitener::{Core, Pairs};
use crate::{Error, Estimate, Result};
use faer::{Mat, Side};
use kpflow_core::machine::{Kernel, Tasks};

/// Estimates the trace of a positive semidefinite operator: each probe in turn is the test of the Nyström approximation Â_i by the others,
/// `tr Â_i + ω_iᵀ(A − Â_i)ω_i`, and the mean over i is taken. Collective.
///
/// With H = ΩᵀAΩ and Y = AΩ everything follows by downdating: tr Â_i = tr Â − ‖Y H⁻¹e_i‖²/(H⁻¹)_ii and ω_iᵀ(A − Â_i)ω_i = 1/(H⁻¹)_ii. Normal
/// probes are resphered: what is left of ω_i outside of the others' span counts with the norm that it should have had.
/// A is shifted by ν = ε‖Y‖_F/√n for the factors' sake, and the shift undone. Where H has directions that are no more than rounding, the approximation is
/// made of the others, and what these still say of the rest of the trace is added, with an error as large as they are.
///
/// **Cost**: one product a probe, O(n m²) flops beside it, 3 m vectors. **Accuracy**: unbiased; the error falls as fast as the spectrum does, and
/// as 1/√m at worst. The standard error is the jackknife's, from the m estimates without one of the probes altogether (Epperly and Tropp 2024), which
/// are two-by-two downdates: the scatter of the m estimates around their mean is too small where the spectrum decays, as they share all probes but one.
/// **Errors**: A is not positive semidefinite.
pub fn xnystrace<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let mut sketch = Sketch::new(space, SKETCHES);
    grow(space, budget, space.len(), |total| {
        sketch.extend(space, total)?;
        let factors = sketch.factors(space)?;
        let _held = space.hold(4 * total * total);
        space.small(small(total), |machine| {
            let Some(factors) = &factors else { return Ok((f64::NAN, f64::NAN)) };
            let epsilon = space.epsilon();
            let (value, error) = exchangeable(machine, factors)?;
            Ok((value, floor(error * student(total as f64 - 1.0), value, epsilon)))
        })
    })
}

/// What [`exchangeable`] takes for m probes, factors included.
pub(super) fn small(m: usize) -> Small {
    Small::of(m, 12.0, 11)
}

/// The mean of the m estimates of the trace, each with another probe left out, and its standard error by the jackknife.
pub(super) fn exchangeable(machine: &(impl Tasks + Kernel<f64>), factors: &Factors) -> Result<ValueError> {
    let Factors { n, shift, own, form, noise, core, root, inside } = factors;
    let (n, m) = (*n as f64, own.nrows());
    let known = trace(inside) - shift * n;
    // Probes are known better than products with them.
    let probes = Core::new(own, 0.0, f64::EPSILON)?;
    if probes.is_deficient() {
        return Ok((known, f64::INFINITY));
    }
    if let Core::Deficient { kept, left } = core {
        let dimensions = n - kept.values.len() as f64;
        let (rest, error) = beyond(left, (own, &probes), *shift, dimensions)?;
        let roots: Vec<f64> = kept.values.iter().map(|s| s.sqrt()).collect();
        let lost = Mat::from_fn(roots.len(), roots.len(), |i, j| inside[(i, j)] / (roots[i] * roots[j]));
        return Ok((known + rest, error.hypot(rounded(*noise, n, &lost))));
    }
    let probes = probes.whiten(Mat::identity(m, m).as_ref());
    let (p, o) = (gram(machine, root), gram(machine, &probes));
    // H⁻¹YᵀYH⁻¹: what leaving probes out takes from tr Â.
    let half = product(machine, inside.as_ref(), root.as_ref());
    let lost = product(machine, root.transpose(), half.as_ref());
    // Probe i is left out and what is left of it outside of the others, of squared norm 1/o_ii, counts as it should, n − m + 1 in the mean.
    let one = |i: usize| known - lost[(i, i)] / p[(i, i)] + (n - m as f64 + 1.0) * o[(i, i)] / p[(i, i)];
    let value = (0..m).map(one).sum::<f64>() / m as f64;
    // Without probe i altogether, j is left out of the others.
    let two = |i: usize, j: usize| {
        let determinant = p[(i, i)] * p[(j, j)] - p[(i, j)] * p[(i, j)];
        let both = p[(j, j)] * lost[(i, i)] + p[(i, i)] * lost[(j, j)] - 2.0 * p[(i, j)] * lost[(i, j)];
        let outside = o[(j, j)] - o[(i, j)] * o[(i, j)] / o[(i, i)];
        known + (-both + (n - m as f64 + 2.0) * outside * p[(i, i)]) / determinant
    };
    let error = jackknife_error(&leaving_out(machine, m, two));
    if m as f64 == n {
        // As many probes as there are numbers leave nothing out: the trace is tr((ΩᵀΩ)⁻¹ΩᵀAΩ), and its error what rounding has made of both factors.
        let through = product(machine, o.as_ref(), form.as_ref());
        let sandwiched = product(machine, through.as_ref(), o.as_ref());
        let of_probes = f64::EPSILON * (0..m).fold(0.0, |a: f64, i| a.max(own[(i, i)]));
        let error = std::f64::consts::SQRT_2 * noise * o.norm_l2() + of_probes * sandwiched.norm_l2();
        return Ok((trace(&through), error));
    }
    Ok((value, error.hypot(rounded(*noise, n, &lost))))
}

/// What rounding makes of tr(Y H⁻¹ Yᵀ), where an entry of H has so much of it and H⁻¹YᵀYH⁻¹ is `lost`: by way of H, and by way of Y.
fn rounded(noise: f64, n: f64, lost: &Mat<f64>) -> f64 {
    let by_y = 2.0 * (trace(lost).max(0.0) / n).sqrt();
    std::f64::consts::SQRT_2 * noise * lost.norm_l2().hypot(by_y)
}

fn gram(machine: &(impl Tasks + Kernel<f64>), x: &Mat<f64>) -> Mat<f64> {
    product(machine, x.transpose(), x.as_ref())
}

/// What directions of H that are no more than rounding say of the trace of A in the `dimensions` that the others have not seen, and its error.
///
/// The probes Ωu of such directions u, outside of the others' span, have the Gram matrix `(Uᵀ(ΩᵀΩ)⁻¹U)⁻¹`; along its axes v of squared length 1/w they see
/// `Σ w · vᵀHv` of the trace, and the other dimensions count in proportion. Rounding may have made every vᵀHv what it is, but for the shift; what it makes of
/// one grows as the length does, so that short axes, which cost most, are left out where fewer axes are the better estimate.
fn beyond(left: &Pairs, (own, probes): (&Mat<f64>, &Core), shift: f64, dimensions: f64) -> Result<ValueError> {
    let u = &left.vectors;
    let whitened = probes.whiten(u.as_ref());
    let gram = whitened.transpose() * &whitened;
    let axes = gram.self_adjoint_eigen(Side::Lower).map_err(|_| Error::NotFinite)?;
    let (weights, v) = (axes.S().column_vector(), axes.U());
    // uᵀHu is diagonal; with the shift undone it is not.
    let (size, shifts) = (left.values.len(), u.transpose() * own * u);
    let forms: Vec<f64> = (0..size).map(|k| (0..size).map(|i| v[(i, k)] * v[(i, k)] * left.values[i]).sum()).collect();
    let turned = v.transpose() * &shifts * v;
    let rounding = |k: usize| weights[k] * (forms[k] - shift * turned[(k, k)]).powi(2);
    let (mut sum, mut squares, mut lengths, mut best) = (0.0, 0.0, 0.0, (0.0, f64::INFINITY));
    // The longest axes first.
    for k in 0..size {
        sum += weights[k] * forms[k];
        squares += rounding(k);
        lengths += weights[k].max(0.0).sqrt();
        let count = (k + 1) as f64;
        let value = sum * dimensions / count;
        let error = (squares / count).sqrt() * lengths * dimensions / count;
        // Samples of a trace scatter at worst as those of one mode do.
        let scatter = value.abs() * (2.0 / count * (1.0 - count / dimensions).max(0.0)).sqrt();
        if error + scatter < best.1 {
            best = (value, error + scatter);
        }
    }
    Ok(best)
}

/// An error is never below rounding.
pub(super) fn floor(error: f64, value: f64, epsilon: f64) -> f64 {
    let error = if error.is_nan() { 0.0 } else { error };
    error.max(epsilon * value.abs())
}
