//! The normalisation of LayerNorm and RMSNorm, without gain and bias: those are a weight site of their own.

use super::{pairs, Mixing, Point, Rows, RowsMut};
use crate::machine::Kernel;
use crate::Scalar;

/// `y = (x − μ) / √(σ² + eps)` over every `group` neighbouring columns of a row; not centred (RMSNorm): `y = x / √(mean x² + eps)`.
///
/// **Cost**: 5 flops a column and vector, either way. Source: Ba, Kiros, Hinton 2016; Zhang, Sennrich 2019.
#[derive(Clone, Copy, Debug)]
pub struct Normalize {
    /// Columns of a group.
    pub group: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether the mean is taken away.
    pub centered: bool,
}

impl Normalize {
    /// (μ, 1/σ) of a group.
    fn moments<T: Scalar>(&self, x: &[T]) -> (T, T) {
        let n = T::of(x.len() as f64);
        let mean = if self.centered { x.iter().copied().sum::<T>() / n } else { T::zero() };
        let square = x.iter().map(|x| (*x - mean) * (*x - mean)).sum::<T>() / n;
        (mean, (square + T::of(self.eps)).sqrt().recip())
    }

    /// `out += (1/σ)(I − [11ᵀ/n] − yyᵀ/n) x`, symmetric.
    fn jacobian<T: Scalar>(&self, at: &Point<'_, T>, x: &Rows<'_, T>, out: &mut RowsMut<'_, T>) {
        let (g, n) = (self.group, T::of(self.group as f64));
        for p in 0..x.positions {
            for (i, (z, y)) in
                at.inputs[0].row(p, 0).chunks_exact(g).zip(at.output.row(p, 0).chunks_exact(g)).enumerate()
            {
                let (_, inverse) = self.moments(z);
                for (_, v) in pairs(1, x.vectors) {
                    let (x, out) = (&x.row(p, v)[i * g..][..g], &mut out.row(p, v)[i * g..][..g]);
                    let mean = if self.centered { x.iter().copied().sum::<T>() / n } else { T::zero() };
                    let along = y.iter().zip(x).map(|(y, x)| *y * *x).sum::<T>() / n;
                    for ((x, y), out) in x.iter().zip(y).zip(out) {
                        *out += inverse * (*x - mean - *y * along);
                    }
                }
            }
        }
    }
}

impl<T: Scalar> Mixing<T> for Normalize {
    fn inputs(&self) -> usize {
        1
    }
    fn size(&self, inputs: &[(usize, usize)]) -> Option<(usize, usize)> {
        inputs.first().copied().filter(|size| self.group > 0 && size.1 % self.group == 0)
    }
    fn forward(&self, inputs: &[Rows<'_, T>], mut output: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        for p in 0..output.positions {
            let x = inputs[0].row(p, 0).chunks_exact(self.group);
            for (x, y) in x.zip(output.row(p, 0).chunks_exact_mut(self.group)) {
                let (mean, inverse) = self.moments(x);
                y.iter_mut().zip(x).for_each(|(y, x)| *y = (*x - mean) * inverse);
            }
        }
    }
    fn tangent(&self, at: &Point<'_, T>, dx: &[Option<Rows<'_, T>>], mut dy: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        dy.clear();
        if let Some(dx) = &dx[0] {
            self.jacobian(at, dx, &mut dy);
        }
    }
    fn cotangent(&self, at: &Point<'_, T>, _: usize, dy: Rows<'_, T>, mut dx: RowsMut<'_, T>, _kernel: &dyn Kernel<T>) {
        self.jacobian(at, &dy, &mut dx);
    }
}
