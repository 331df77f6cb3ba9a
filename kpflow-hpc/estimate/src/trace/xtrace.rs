//! XTrace: the exchangeable trace estimator (Epperly, Tropp and Webber 2024).

use super::range::Range;
use super::xnystrace::floor;
use crate::factor::{squares, trace};
use crate::interval::ValueError;
use crate::sampling::{grow, jackknife_error, leaving_out, student};
use crate::small::product;
use crate::space::{Budget, Space};
use crate::{Estimate, Result};
use faer::linalg::solvers::DenseSolveCore;
use faer::Mat;
use kpflow_core::machine::{Kernel, Tasks};

/// Estimates the trace of a symmetric operator: each probe in turn is the test of the low-rank approximation by the others, and the mean is taken. Collective.
///
/// With AΩ = QR, leaving probe i out takes one direction s_i from Q, the i-th column of R⁻ᵀ normalised: Q_iQ_iᵀ = Q(I − s_i s_iᵀ)Qᵀ, and
/// `tr(Q_iᵀAQ_i) + c_i x_iᵀAx_i` with x_i = (I − Q_iQ_iᵀ)ω_i, resphered by c_i = (n − m + 1)/‖x_i‖². Where R is rank-deficient leaving a probe
/// out takes nothing from Q, and no triangle is inverted.
/// **Cost**: two products a probe, O(n m²) flops beside it, 4 m vectors. **Accuracy**: unbiased; the error falls as fast as the singular values.
/// The standard error is the jackknife's, from the m estimates without one of the probes altogether (Epperly and Tropp 2024).
pub fn xtrace<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let n = space.len();
    let mut range = Range::new(space);
    grow(space, budget, n.saturating_mul(2), |total| {
        // One product alone makes no range: it is a sample.
        let m = (total / 2).max(1).min(n);
        if total < 2 {
            range.sketch.extend(space, 1)?;
            let (omega, y) = (&range.sketch.omega, &range.sketch.y);
            let (square, form) = (space.dots(omega, omega)?[0], space.dots(omega, y)?[0]);
            return Ok((form * n as f64 / square, f64::INFINITY));
        }
        if !range.extend(space, m)? {
            return Ok((f64::NAN, f64::NAN));
        }
        let h = range.project(space)?;
        let known = trace(&h);
        if range.spans(space) {
            return Ok((known, space.epsilon() * known.abs()));
        }
        let (omega, y) = (&range.sketch.omega, &range.sketch.y);
        let w = range.coordinates(space, omega)?;
        let (lengths, forms) = (space.dots(omega, omega)?, space.dots(omega, y)?);
        space.small(crate::space::Small::of(m, 17.0, 14), |machine| {
            let s = directions(&range.r);
            let small = Small { n: n as f64, known, s, w, h: &h, r: &range.r, lengths, forms };
            let (value, error) = exchangeable(machine, &small);
            Ok((value, floor(error * student(m as f64 - 1.0), value, space.epsilon())))
        })
    })
}

/// What an exchangeable estimate needs to know of normal probes and their products, in the coordinates of Q.
struct Small<'a> {
    n: f64,
    /// tr(QᵀAQ).
    known: f64,
    /// The direction that leaving a probe out takes from Q, a column a probe.
    s: Mat<f64>,
    /// QᵀΩ.
    w: Mat<f64>,
    /// QᵀAQ.
    h: &'a Mat<f64>,
    /// QᵀAΩ.
    r: &'a Mat<f64>,
    /// ‖ω‖².
    lengths: Vec<f64>,
    /// ωᵀAω.
    forms: Vec<f64>,
}

/// The mean of the m estimates, each with another probe left out, and its standard error by the jackknife.
fn exchangeable(machine: &(impl Tasks + Kernel<f64>), small: &Small<'_>) -> ValueError {
    let Small { n, known, s, w, h, r, lengths, forms } = small;
    let m = w.ncols();
    // Directions that are left when so many probes are: where R is rank-deficient, all of them.
    let left = |probes: usize| if h.nrows() < m { h.nrows() } else { probes } as f64;
    let (hs, hw) = (product(machine, h.as_ref(), s.as_ref()), product(machine, h.as_ref(), w.as_ref()));
    // Inner products of directions and probes, plain and through A: all that a pair needs.
    let of_s = |x: &Mat<f64>| product(machine, s.transpose(), x.as_ref());
    let (ss, shs, sw, shw, sr) = (of_s(s), of_s(&hs), of_s(w), of_s(&hw), of_s(r));
    let along = |x: &Mat<f64>| (0..m).map(|j| w.col(j).transpose() * x.col(j)).collect::<Vec<f64>>();
    let (ww, wr, whw) = (along(w), along(r), along(&hw));
    // Probe j as the test, the directions u (orthonormal, as columns of coefficients of s_i and s_j) taken from Q, `left` probes in the basis.
    let test = |j: usize, u: &[[f64; 2]], i: usize, left: f64| {
        let pick = |x: &Mat<f64>, u: &[f64; 2]| u[0] * x[(i, j)] + u[1] * x[(j, j)];
        let form_of = |u: &[f64; 2], v: &[f64; 2], x: &Mat<f64>| {
            u[0] * (v[0] * x[(i, i)] + v[1] * x[(i, j)]) + u[1] * (v[0] * x[(j, i)] + v[1] * x[(j, j)])
        };
        let (mut taken, mut square, mut half, mut form) = (0.0, ww[j], wr[j], whw[j]);
        for a in u {
            let c = pick(&sw, a);
            taken += form_of(a, a, &shs);
            square -= c * c;
            half -= c * pick(&sr, a);
            form -= 2.0 * c * pick(&shw, a);
            form += u.iter().map(|b| c * pick(&sw, b) * form_of(a, b, &shs)).sum::<f64>();
        }
        let outside = lengths[j] - square;
        let scale = if outside > 1e-8 * lengths[j] { (n - left) / outside } else { 0.0 };
        known - taken + scale * (forms[j] - 2.0 * half + form)
    };
    let value = (0..m).map(|j| test(j, &[[0.0, 1.0]], j, left(m - 1))).sum::<f64>() / m as f64;
    let two = |i: usize, j: usize| {
        let (c, rest) = (ss[(i, j)], (1.0 - ss[(i, j)].powi(2)).max(1e-14).sqrt());
        test(j, &[[1.0, 0.0], [-c / rest, 1.0 / rest]], i, left(m - 2))
    };
    let error = jackknife_error(&leaving_out(machine, m, two));
    (value, error)
}

/// The columns of R⁻ᵀ, normalised; nothing where R is rank-deficient.
fn directions(r: &Mat<f64>) -> Mat<f64> {
    if r.nrows() < r.ncols() {
        return Mat::zeros(r.nrows(), r.ncols());
    }
    let inverse = r.partial_piv_lu().inverse();
    let norms = squares(&inverse.transpose().to_owned());
    Mat::from_fn(r.nrows(), r.ncols(), |p, i| inverse[(i, p)] / norms[i].sqrt())
}
