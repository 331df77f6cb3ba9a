//! Softmax along the columns.

use super::{pairs, Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// `y = softmax(scale · x + mask)` over every `group` neighbouring columns of a row.
///
/// The mask, if there is one, is a second input, fixed: one group wide and used for all groups, −∞ where nothing may be read. A row of
/// which everything is masked gives zeros. **Cost**: 3 flops a column and vector, either way.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// Columns of a group.
    pub group: usize,
    /// The factor before the exponential.
    pub scale: f64,
    /// Whether there is a mask.
    pub masked: bool,
}

impl<T: Scalar> Mixing<T> for Softmax {
    fn inputs(&self) -> usize {
        1 + usize::from(self.masked)
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        let &(positions, width) = inputs.first()?;
        let fits = |&(rows, columns): &(usize, usize)| (rows == positions || rows == 1) && columns == self.group;
        let mask = !self.masked || inputs.get(1).is_some_and(fits);
        (self.group > 0 && width % self.group == 0 && mask).then_some((positions, width))
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        let scale = T::of(self.scale);
        for p in 0..output.positions {
            let x = inputs[0].row(p, 0);
            let mask = self.masked.then(|| inputs[1].row(if inputs[1].positions == 1 { 0 } else { p }, 0));
            for (y, x) in output.row(p, 0).chunks_exact_mut(self.group).zip(x.chunks_exact(self.group)) {
                for (j, (y, x)) in y.iter_mut().zip(x).enumerate() {
                    *y = scale * *x + mask.map_or(T::zero(), |m| m[j]);
                }
                let most = y.iter().fold(T::neg_infinity(), |a, b| a.max(*b));
                if most == T::neg_infinity() {
                    y.fill(T::zero());
                    continue;
                }
                y.iter_mut().for_each(|y| *y = (*y - most).exp());
                let sum: T = y.iter().copied().sum();
                y.iter_mut().for_each(|y| *y /= sum);
            }
        }
    }
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        if let Some(dx) = &dx[0] {
            self.jacobian(at, dx, &mut dy);
        }
    }
    fn cotangent(&self, at: &Point<'_, T>, i: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        if i == 0 {
            self.jacobian(at, &dy, &mut dx);
        }
    }
}

impl Softmax {
    /// `out += scale · (diag(y) − y yᵀ) x`, symmetric.
    fn jacobian<T: Scalar>(&self, at: &Point<'_, T>, x: &Rows<'_, T>, out: &mut RowsMut<'_, T>) {
        let (scale, g) = (T::of(self.scale), self.group);
        for (p, v) in pairs(x.positions, x.vectors) {
            let (y, x, out) = (at.output.row(p, 0), x.row(p, v), out.row(p, v));
            for ((y, x), out) in y.chunks_exact(g).zip(x.chunks_exact(g)).zip(out.chunks_exact_mut(g)) {
                let mean: T = y.iter().zip(x).map(|(y, x)| *y * *x).sum();
                for ((y, x), out) in y.iter().zip(x).zip(out) {
                    *out += scale * *y * (*x - mean);
                }
            }
        }
    }
}
