//! The core matrix ΩᵀAΩ of a Nyström approximation, and the coordinates where it is 1.

use crate::error::fits;
use crate::{Error, Result};
use faer::{Mat, MatRef, Side};
use kpflow_core::machine::{self, Gemm, Kernel, MatMut};

/// A square root of the inverse of a Nyström approximation's core H = ΩᵀAΩ: Â = Y H⁺ Yᵀ with Y = AΩ.
pub(crate) enum Core {
    /// H = L Lᵀ.
    Full(Mat<f64>),
    /// Rank-deficient to rounding.
    Deficient {
        /// What is more than rounding.
        kept: Pairs,
        /// What cannot be told from it.
        left: Pairs,
    },
}

/// Eigenvalues, and their vectors as columns.
pub(crate) struct Pairs {
    pub values: Vec<f64>,
    pub vectors: Mat<f64>,
}

impl Core {
    /// Factors H, of which what is below `noise` may be rounding, of products that are right to `epsilon`.
    ///
    /// **Errors**: H is clearly not positive semidefinite, and then neither is A.
    pub fn new(h: &Mat<f64>, noise: f64, epsilon: f64) -> Result<Self> {
        let m = h.nrows();
        // What the factorisation itself rounds.
        let own = 10.0 * f64::EPSILON * (m as f64);
        if let Ok(llt) = h.llt(Side::Lower) {
            let l = llt.L();
            if slope(l) > own && least(l).powi(2) > noise {
                return Ok(Self::Full(Mat::from_fn(m, m, |i, j| if i >= j { l[(i, j)] } else { 0.0 })));
            }
        }
        let eigen = h.self_adjoint_eigen(Side::Lower).map_err(|_| Error::NotFinite)?;
        let (s, u) = (eigen.S().column_vector(), eigen.U());
        let largest = (0..m).fold(0.0, |a: f64, i| a.max(s[i].abs()));
        if (0..m).any(|i| s[i] < -(1000.0 * epsilon * m as f64 * largest).max(noise)) {
            return Err(Error::NotPositiveSemidefinite { instead: "hutchinson, hutchpp or xtrace" });
        }
        let (kept, left): (Vec<usize>, Vec<usize>) = (0..m).partition(|&i| s[i] > (own * largest).max(noise));
        let pairs = |of: Vec<usize>| Pairs {
            vectors: Mat::from_fn(m, of.len(), |i, k| u[(i, of[k])]),
            values: of.iter().map(|&i| s[i]).collect(),
        };
        Ok(Self::Deficient { kept: pairs(kept), left: pairs(left) })
    }

    /// Whether H has fewer independent columns than it has columns: then Ω has seen all of A, to rounding.
    pub fn is_deficient(&self) -> bool {
        matches!(self, Self::Deficient { .. })
    }

    /// Whether Gram matrices of products are good enough: F YᵀY Fᵀ is right to rounding times the condition of H. Never in single precision.
    pub fn is_mild(&self, epsilon: f64) -> bool {
        const MILD: f64 = 1e-4;
        matches!(self, Self::Full(l) if epsilon < 1e-10 && slope(l.as_ref()) > MILD)
    }

    /// F x with FᵀF = H⁺.
    pub fn whiten(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        match self {
            Self::Full(l) => {
                let mut out = x.to_owned();
                faer::linalg::triangular_solve::solve_lower_triangular_in_place(
                    l.as_ref(),
                    out.as_mut(),
                    faer::Par::Seq,
                );
                out
            }
            Self::Deficient { kept, .. } => {
                let part = kept.vectors.transpose() * x;
                Mat::from_fn(kept.values.len(), x.ncols(), |i, j| part[(i, j)] / kept.values[i].sqrt())
            }
        }
    }
}

/// The least of a triangle's pivots.
fn least(l: MatRef<'_, f64>) -> f64 {
    (0..l.nrows()).fold(f64::INFINITY, |least, i| least.min(l[(i, i)]))
}

/// How small the least of a triangle's pivots is against the largest, squared: LLᵀ is conditioned no better than one over that.
fn slope(l: MatRef<'_, f64>) -> f64 {
    let ends = |(a, b): (f64, f64), i| (a.min(l[(i, i)]), b.max(l[(i, i)]));
    let (least, most) = (0..l.nrows()).fold((f64::INFINITY, 0.0), ends);
    (least / most).powi(2)
}

/// F with FᵀF = H⁺ as rows of numbers.
pub struct Whitener {
    f: Vec<f64>,
    pub(crate) rank: usize,
    vectors: usize,
    triangular: bool,
}

fn view(a: &[f64], rows: usize, columns: usize, stride: usize) -> machine::MatRef<'_, f64> {
    fits(machine::MatRef::new(a, rows, columns, stride))
}

impl Whitener {
    pub(crate) fn new(core: &Core, f: &Mat<f64>) -> Self {
        let (rank, vectors) = (f.nrows(), f.ncols());
        let numbers = (0..rank).flat_map(|i| (0..vectors).map(move |j| f[(i, j)])).collect();
        Self { f: numbers, rank, vectors, triangular: !core.is_deficient() }
    }

    /// Makes `sum` β times itself and the lower half of `F X (F X)ᵀ` for some numbers X `[vectors, len]` of every vector; `z` `[rank, len]` is for F X.
    pub(crate) fn add_gram(&self, machine: &impl Kernel<f64>, x: &[f64], z: &mut [f64], sum: &mut [f64], beta: f64) {
        const PANEL: usize = 256;
        let (r, m) = (self.rank, self.vectors);
        let len = z.len() / r.max(1);
        for first in (0..r).step_by(PANEL) {
            let rows = PANEL.min(r - first);
            let end = first + rows;
            // A triangle has nothing beyond its diagonal.
            let known = if self.triangular { end } else { m };
            let (f, x) = (view(&self.f[first * m..], rows, known, m), view(x, known, len, len));
            machine.gemm(1.0, fits(Gemm::new(f, x, fits(MatMut::new(&mut z[first * len..], rows, len, len)))), 0.0);
            let (panel, before) = (view(&z[first * len..], rows, len, len), view(z, end, len, len));
            let sum = fits(MatMut::new(&mut sum[first * r..], rows, end, r));
            machine.gemm(1.0, fits(Gemm::new(panel, before.t(), sum)), beta);
        }
    }
}
