//! Rows as columns.

use super::{Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// The numbers of x, row after row, taken for a matrix of `rows` rows and transposed; its numbers, row after row, in rows of `width`.
///
/// **Cost**: a read and a write a number.
#[derive(Clone, Copy, Debug)]
pub struct Transpose {
    /// Rows of the matrix: those of x, or others of as many numbers in all.
    pub rows: usize,
    /// Columns of the output: the rows of the matrix, or others.
    pub width: usize,
}

impl Transpose {
    /// Calls `f((row, column) in x, (row, column) in y)` for all numbers, square by square, so that both sides stay in the cache.
    fn each(&self, (positions, width): (usize, usize), mut f: impl FnMut((usize, usize), (usize, usize))) {
        const SIDE: usize = 16;
        let columns = positions * width / self.rows;
        for first in (0..self.rows).step_by(SIDE) {
            for column in (0..columns).step_by(SIDE) {
                for j in column..(column + SIDE).min(columns) {
                    for i in first..(first + SIDE).min(self.rows) {
                        // Most often the matrix is x itself, and its transpose y.
                        let split = |row, column, columns, width| match columns == width {
                            true => (row, column),
                            false => ((row * columns + column) / width, (row * columns + column) % width),
                        };
                        f(split(i, j, columns, width), split(j, i, self.rows, self.width));
                    }
                }
            }
        }
    }
}

impl<T: Scalar> Mixing<T> for Transpose {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let numbers = inputs.first()?.0.checked_mul(inputs[0].1)?;
        let fits = self.width > 0 && self.rows > 0 && numbers % self.width == 0 && numbers % self.rows == 0;
        fits.then(|| (numbers / self.width, self.width))
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let x = &inputs[0];
        self.each((x.positions, x.width), |(p, j), (q, k)| output.row(q, 0)[k] = x.row(p, 0)[j]);
    }
    fn tangent(&self, _: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let Some(dx) = &dx[0] else { return dy.clear() };
        for v in 0..dx.vectors {
            self.each((dx.positions, dx.width), |(p, j), (q, k)| dy.row(q, v)[k] = dx.row(p, v)[j]);
        }
    }
    fn cotangent(&self, _: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for v in 0..dy.vectors {
            self.each((dx.positions, dx.width), |(p, j), (q, k)| dx.row(p, v)[j] += dy.row(q, v)[k]);
        }
    }
}
