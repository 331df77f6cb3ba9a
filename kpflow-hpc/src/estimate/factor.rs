//! Small factors of tall blocks: triangles R of a QR, and the core matrix ΩᵀAΩ of a Nyström approximation.

use super::{Problem, Tall};
use crate::engine::Real;
use crate::error::{Error, Result};
use faer::{Mat, MatRef, Side};
use kpflow_core::machine::Tasks;
use std::ops::Range;

/// R with RᵀR = G by Cholesky where G is conditioned so mildly that R is as good as a QR's: its smallest singular value is right to 10⁻¹¹.
/// Never in single precision, whose Gram matrices are worse than f64's.
pub(super) fn triangle_of_gram(g: &Mat<f64>, epsilon: f64) -> Option<Mat<f64>> {
    const MILD: f64 = 1e-4;
    let n = g.nrows();
    let l = if epsilon < 1e-10 { g.llt(Side::Lower).ok()?.L().to_owned() } else { return None };
    let (least, most) = (0..n).fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), i| (a.min(l[(i, i)]), b.max(l[(i, i)])));
    (least > MILD * most).then(|| Mat::from_fn(n, n, |i, j| if j >= i { l[(j, i)] } else { 0.0 }))
}

/// The triangle of a Householder QR, `[min(rows, columns), columns]`.
pub(super) fn triangle(x: MatRef<'_, f64>) -> Mat<f64> {
    x.qr().thin_R().to_owned()
}

/// Trajectory `b` of a block in double precision: a column a vector.
pub(super) fn columns<T: Real>(x: &Tall<T>, b: usize) -> Mat<f64> {
    rows(x, b..b + 1)
}

/// Some trajectories of a block, one below the other.
fn rows<T: Real>(x: &Tall<T>, trajectories: Range<usize>) -> Mat<f64> {
    let n = x.shape.per_trajectory();
    let mut out = Mat::zeros(trajectories.len() * n, x.vectors);
    for v in 0..x.vectors {
        let column = out.col_as_slice_mut(v);
        for (to, b) in column.chunks_mut(n.max(1)).zip(trajectories.clone()) {
            to.iter_mut().zip(x.part(b, v)).for_each(|(to, x)| *to = x.f64());
        }
    }
    out
}

/// R with RᵀR = XᵀX, to the accuracy of a QR: the Gram matrix itself would lose what is below the square root of rounding. Collective.
///
/// A tall-skinny QR (Demmel, Grigori, Hoemmen and Langou 2012) of which nobody needs Q: a group of trajectories after the other, each so tall
/// that putting the groups' triangles together costs little beside them, then rank after rank.
/// **Cost**: 2·n·m² flops and 10/3·m³ a group, one gather of m² numbers a rank.
pub(super) fn triangle_of_all<T: Real>(problem: &Problem<'_, T>, x: &Tall<T>) -> Mat<f64> {
    let m = x.vectors;
    let all = problem.sums(m * m, || {
        let mut r = vec![0.0; m * m];
        write(triangle_over_ranks(problem, x).as_ref(), m, &mut r);
        r
    });
    Mat::from_fn(m, m, |i, j| all[i * m + j])
}

fn triangle_over_ranks<T: Real>(problem: &Problem<'_, T>, x: &Tall<T>) -> Mat<f64> {
    const HEIGHT: usize = 8;
    let m = x.vectors;
    let group = (HEIGHT * m).div_ceil(x.shape.per_trajectory().max(1)).clamp(1, x.shape.trajectories.max(1));
    let count = x.shape.trajectories.div_ceil(group);
    let mut local = vec![0.0f64; count * m * m];
    problem.engine.for_each(count, &mut local, m * m, &mut [], 0, |i, out, _: &mut [f64]| {
        let end = ((i + 1) * group).min(x.shape.trajectories);
        write(triangle(rows(x, i * group..end).as_ref()).as_ref(), m, out);
    });
    let mine = stack(&local, m, count);
    let mut own = vec![0.0f64; m * m];
    write(mine.as_ref(), m, &mut own);
    let ranks = problem.grid().size();
    let mut all = vec![0.0f64; ranks * m * m];
    problem.grid().gather(&own, &mut all);
    stack(&all, m, ranks)
}

/// Writes a triangle into m × m numbers, row after row.
fn write(r: MatRef<'_, f64>, m: usize, out: &mut [f64]) {
    out.fill(0.0);
    for i in 0..r.nrows().min(m) {
        (0..m).for_each(|j| out[i * m + j] = r[(i, j)]);
    }
}

/// The triangle of `count` triangles one below the other, two at a time.
fn stack(triangles: &[f64], m: usize, count: usize) -> Mat<f64> {
    let piece = |k: usize| MatRef::from_row_major_slice(&triangles[k * m * m..(k + 1) * m * m], m, m);
    let mut r = if count == 0 { Mat::zeros(m, m) } else { piece(0).to_owned() };
    for k in 1..count {
        let both = Mat::from_fn(2 * m, m, |i, j| if i < m { r[(i, j)] } else { piece(k)[(i - m, j)] });
        r = triangle(both.as_ref());
    }
    r
}

/// A row-major square matrix, symmetrised.
pub(super) fn symmetric(a: &[f64], m: usize) -> Mat<f64> {
    Mat::from_fn(m, m, |i, j| 0.5 * (a[i * m + j] + a[j * m + i]))
}

/// A square root of the inverse of a Nyström approximation's core H = ΩᵀAΩ: Â = Y H⁺ Yᵀ with Y = AΩ.
pub(super) enum Core {
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
pub(super) struct Pairs {
    pub values: Vec<f64>,
    pub vectors: Mat<f64>,
}

impl Core {
    /// Factors H, whose entries are right to `epsilon` of the largest.
    ///
    /// **Errors**: H is clearly not positive semidefinite, and then neither is A.
    pub fn new(h: &Mat<f64>, epsilon: f64) -> Result<Self> {
        let m = h.nrows();
        let noise = 10.0 * epsilon * (m as f64);
        if let Ok(llt) = h.llt(Side::Lower) {
            let l = llt.L();
            let squares = |f: fn(f64, f64) -> f64, start| (0..m).map(|i| l[(i, i)] * l[(i, i)]).fold(start, f);
            if squares(f64::min, f64::INFINITY) > noise * squares(f64::max, 0.0) {
                return Ok(Self::Full(Mat::from_fn(m, m, |i, j| if i >= j { l[(i, j)] } else { 0.0 })));
            }
        }
        let eigen = h.self_adjoint_eigen(Side::Lower).map_err(|_| Error::run("the products are not finite"))?;
        let (s, u) = (eigen.S().column_vector(), eigen.U());
        let largest = (0..m).fold(0.0, |a: f64, i| a.max(s[i].abs()));
        if (0..m).any(|i| s[i] < -100.0 * noise * largest) {
            return Err(Error::run(
                "the operator is not positive semidefinite, which this method needs; take hutchinson, hutchpp or xtrace",
            ));
        }
        let (kept, left): (Vec<usize>, Vec<usize>) = (0..m).partition(|&i| s[i] > noise * largest);
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

/// The squares of the columns' norms.
pub(super) fn squares(x: &Mat<f64>) -> Vec<f64> {
    (0..x.ncols()).map(|j| x.col(j).squared_norm_l2()).collect()
}
