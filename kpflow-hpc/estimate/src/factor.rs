//! Triangles R of a QR of tall blocks, and what else of small matrices is wanted in several places.

use crate::workers::Workers;
use crate::{Problem, Result, Tall};
use faer::{Mat, MatRef};
use kpflow_core::Scalar;
use std::ops::Range;

/// The triangle of a Householder QR, `[min(rows, columns), columns]`.
fn triangle(x: MatRef<'_, f64>) -> Mat<f64> {
    x.qr().thin_R().to_owned()
}

/// Trajectory `b` of a block in double precision: a column a vector.
pub(crate) fn columns<T: Scalar>(x: &Tall<T>, b: usize) -> Mat<f64> {
    rows(x, b..b + 1)
}

/// Some trajectories of a block, one below the other.
fn rows<T: Scalar>(x: &Tall<T>, trajectories: Range<usize>) -> Mat<f64> {
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
pub(crate) fn triangle_of_all<T: Scalar, M: Workers<T>>(problem: &Problem<'_, T, M>, x: &Tall<T>) -> Result<Mat<f64>> {
    let m = x.vectors;
    let all = problem.recall(m * m, || {
        let mut r = vec![0.0; m * m];
        write(triangle_over_ranks(problem, x).as_ref(), m, &mut r);
        r
    })?;
    Ok(Mat::from_fn(m, m, |i, j| all[i * m + j]))
}

fn triangle_over_ranks<T: Scalar, M: Workers<T>>(problem: &Problem<'_, T, M>, x: &Tall<T>) -> Mat<f64> {
    let m = x.vectors;
    let (group, count) = groups(x.shape, m);
    let mut local = vec![0.0f64; count * m * m];
    problem.machine.for_each(count, &mut local, m * m, &mut [], 0, |i, out, _: &mut [f64]| {
        let end = ((i + 1) * group).min(x.shape.trajectories);
        write(triangle(rows(x, i * group..end).as_ref()).as_ref(), m, out);
    });
    let mine = stack(&local, m, count);
    let mut own = vec![0.0f64; m * m];
    write(mine.as_ref(), m, &mut own);
    let (rank, ranks) = problem.sums().place();
    let mut all = vec![0.0f64; ranks * m * m];
    problem.sums().gather(&own, rank * m * m, &mut all);
    stack(&all, m, ranks)
}

/// How many trajectories of m vectors make a triangle together, and how many triangles there are.
pub(crate) fn groups(shape: kpflow_core::Shape, m: usize) -> (usize, usize) {
    const HEIGHT: usize = 8;
    let group = (HEIGHT * m).div_ceil(shape.per_trajectory().max(1)).clamp(1, shape.trajectories.max(1));
    (group, shape.trajectories.div_ceil(group))
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
pub(crate) fn symmetric(a: &[f64], m: usize) -> Mat<f64> {
    Mat::from_fn(m, m, |i, j| 0.5 * (a[i * m + j] + a[j * m + i]))
}

/// The sum of the diagonal.
pub(crate) fn trace(x: &Mat<f64>) -> f64 {
    (0..x.nrows()).map(|i| x[(i, i)]).sum()
}

/// The squares of the columns' norms.
pub(crate) fn squares(x: &Mat<f64>) -> Vec<f64> {
    (0..x.ncols()).map(|j| x.col(j).squared_norm_l2()).collect()
}
