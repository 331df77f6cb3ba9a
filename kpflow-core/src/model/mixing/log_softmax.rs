//! ln Σ eˣ and what is made of it, along the columns: shifted by the maximum, so that nothing overflows.

use super::{pairs, Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// `ln Σ e^{x_i}` of a group; −∞ where every number is.
fn log_sum<T: Scalar>(x: &[T]) -> T {
    let most = x.iter().fold(T::neg_infinity(), |a, b| a.max(*b));
    if most.is_infinite() {
        return most;
    }
    most + x.iter().map(|x| (*x - most).exp()).sum::<T>().ln()
}

/// `e^{x − y}`, 0 where x is −∞ (y may be too).
fn share<T: Scalar>(x: T, y: T) -> T {
    if x == T::neg_infinity() {
        T::zero()
    } else {
        (x - y).exp()
    }
}

/// `y = x − ln Σ eˣ` over every `group` neighbouring columns of a row. **Cost**: 3 flops a column and vector, either way.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {
    /// Columns of a group.
    pub group: usize,
}

impl<T: Scalar> Mixing<T> for LogSoftmax {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let &(positions, width) = inputs.first()?;
        (self.group > 0 && width % self.group == 0).then_some((positions, width))
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for p in 0..output.positions {
            let x = inputs[0].row(p, 0).chunks_exact(self.group);
            for (y, x) in output.row(p, 0).chunks_exact_mut(self.group).zip(x) {
                let sum = log_sum(x);
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x - sum);
            }
        }
    }
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        let (Some(dx), g) = (&dx[0], self.group) else { return };
        for (p, v) in pairs(dx.positions, dx.vectors) {
            let (y, dx, dy) = (at.output.row(p, 0), dx.row(p, v), dy.row(p, v));
            for ((y, dx), dy) in y.chunks_exact(g).zip(dx.chunks_exact(g)).zip(dy.chunks_exact_mut(g)) {
                let mean: T = y.iter().zip(dx).map(|(y, dx)| share(*y, T::zero()) * *dx).sum();
                dx.iter().zip(dy).for_each(|(dx, dy)| *dy = *dx - mean);
            }
        }
    }
    fn cotangent(&self, at: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let g = self.group;
        for (p, v) in pairs(dy.positions, dy.vectors) {
            let (y, dy, dx) = (at.output.row(p, 0), dy.row(p, v), dx.row(p, v));
            for ((y, dy), dx) in y.chunks_exact(g).zip(dy.chunks_exact(g)).zip(dx.chunks_exact_mut(g)) {
                let sum: T = dy.iter().copied().sum();
                for ((y, dy), dx) in y.iter().zip(dy).zip(dx) {
                    *dx += *dy - share(*y, T::zero()) * sum;
                }
            }
        }
    }
}

/// `y = ln Σ eˣ`: one number for every `group` neighbouring columns of a row. **Cost**: 2 flops a column and vector, either way.
#[derive(Clone, Copy, Debug)]
pub struct LogSumExp {
    /// Columns of a group.
    pub group: usize,
}

impl<T: Scalar> Mixing<T> for LogSumExp {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let &(positions, width) = inputs.first()?;
        (self.group > 0 && width % self.group == 0).then_some((positions, width / self.group))
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for p in 0..output.positions {
            let x = inputs[0].row(p, 0).chunks_exact(self.group);
            output.row(p, 0).iter_mut().zip(x).for_each(|(y, x)| *y = log_sum(x));
        }
    }
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        let (Some(dx), g) = (&dx[0], self.group) else { return };
        for (p, v) in pairs(dx.positions, dx.vectors) {
            let (x, y) = (at.inputs[0].row(p, 0).chunks_exact(g), at.output.row(p, 0));
            let groups = x.zip(y).zip(dx.row(p, v).chunks_exact(g)).zip(dy.row(p, v));
            for (((x, y), dx), dy) in groups {
                *dy = x.iter().zip(dx).map(|(x, dx)| share(*x, *y) * *dx).sum();
            }
        }
    }
    fn cotangent(&self, at: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let g = self.group;
        for (p, v) in pairs(dy.positions, dy.vectors) {
            let (x, y) = (at.inputs[0].row(p, 0).chunks_exact(g), at.output.row(p, 0));
            let groups = x.zip(y).zip(dy.row(p, v)).zip(dx.row(p, v).chunks_exact_mut(g));
            for (((x, y), dy), dx) in groups {
                x.iter().zip(dx).for_each(|(x, dx)| *dx += share(*x, *y) * *dy);
            }
        }
    }
}
