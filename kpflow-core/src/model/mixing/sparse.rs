//! A fixed sparse linear map: slices, concatenation, transposes, patches of images, sums and means are all of this kind.

use super::{pairs, Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// A run of numbers that go, scaled, from one row of an input to one row of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run<T> {
    /// Which input.
    pub input: usize,
    /// Row and first column there.
    pub from: (usize, usize),
    /// Row and first column in the output.
    pub to: (usize, usize),
    /// Columns.
    pub len: usize,
    /// The factor.
    pub scale: T,
}

/// `y[to] += scale · x[from]` over all runs; what no run reaches is zero.
///
/// **Cost**: the sum of the runs' lengths a vector. Long runs are fast.
#[derive(Clone, Copy, Debug)]
pub struct Sparse<R> {
    /// The runs.
    pub runs: R,
    /// The number of inputs.
    pub inputs: usize,
    /// The (positions, width) of the output.
    pub size: (usize, usize),
}

impl<T: Scalar, R: AsRef<[Run<T>]> + Sync> Mixing<T> for Sparse<R> {
    fn inputs(&self) -> usize {
        self.inputs
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let within = |(row, column): (usize, usize), len: usize, size: (usize, usize)| {
            row < size.0 && column.checked_add(len).is_some_and(|end| end <= size.1)
        };
        let fits = |r: &Run<T>| {
            inputs.get(r.input).is_some_and(|&size| within(r.from, r.len, size)) && within(r.to, r.len, self.size)
        };
        self.runs.as_ref().iter().all(fits).then_some(self.size)
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        output.clear();
        for r in self.runs.as_ref() {
            add(r, &inputs[r.input], &mut output);
        }
    }
    fn tangent(&self, _: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        for r in self.runs.as_ref() {
            if let Some(dx) = &dx[r.input] {
                add(r, dx, &mut dy);
            }
        }
    }
    fn cotangent(&self, _: &Point<'_, T>, i: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for r in self.runs.as_ref().iter().filter(|r| r.input == i) {
            add(&Run { from: r.to, to: r.from, ..*r }, &dy, &mut dx);
        }
    }
}

fn add<T: Scalar>(r: &Run<T>, x: &Rows<'_, T>, y: &mut RowsMut<'_, T>) {
    for (_, v) in pairs(1, x.vectors) {
        let (x, y) = (&x.row(r.from.0, v)[r.from.1..][..r.len], &mut y.row(r.to.0, v)[r.to.1..][..r.len]);
        for (y, x) in y.iter_mut().zip(x) {
            *y += r.scale * *x;
        }
    }
}
