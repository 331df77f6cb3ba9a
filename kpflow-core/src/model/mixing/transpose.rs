//! Rows as columns.

use super::{Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// `y[j][p] = x[p][j]`: positions and columns exchanged.
///
/// **Cost**: a read and a write a number.
#[derive(Clone, Copy, Debug)]
pub struct Transpose;

/// Calls `f(p, j)` for all numbers of a matrix, square by square, so that both sides stay in the cache.
fn each((positions, width): (usize, usize), mut f: impl FnMut(usize, usize)) {
    const SIDE: usize = 16;
    for first in (0..positions).step_by(SIDE) {
        for column in (0..width).step_by(SIDE) {
            for j in column..(column + SIDE).min(width) {
                (first..(first + SIDE).min(positions)).for_each(|p| f(p, j));
            }
        }
    }
}

impl<T: Scalar> Mixing<T> for Transpose {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        inputs.first().map(|&(positions, width)| (width, positions))
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let x = &inputs[0];
        each((x.positions, x.width), |p, j| output.row(j, 0)[p] = x.row(p, 0)[j]);
    }
    fn tangent(&self, _: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let Some(dx) = &dx[0] else { return dy.clear() };
        for v in 0..dx.vectors {
            each((dx.positions, dx.width), |p, j| dy.row(j, v)[p] = dx.row(p, v)[j]);
        }
    }
    fn cotangent(&self, _: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for v in 0..dy.vectors {
            each((dy.positions, dy.width), |j, p| dx.row(p, v)[j] += dy.row(j, v)[p]);
        }
    }
}
