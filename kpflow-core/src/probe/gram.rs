//! Gram matrices, a piece at a time.

use crate::error::{length, same};
use crate::{BlockRef, Error, Scalar};

/// Adds the Gram matrix of two blocks: `sums[v, w] += ⟨x_v, y_w⟩`, summed in doubles whatever T is.
///
/// In doubles, because CholeskyQR of a Gram matrix in floats fails beyond a condition number of 4·10³. Trajectories and tiles may come in any number of calls;
/// what lives on other processes is summed afterwards. **Shapes**: x holds m vectors and y k of the same shape; `sums` is
/// `[m, k]`, row-major. **Cost**: 2·m·k·B·T·N flops. **Determinism**: bitwise for the same calls; to rounding for another division.
///
/// ```
/// use kpflow_core::{probe::add_gram, BlockRef, Shape};
/// let x = [1.0f32, 2.0, 3.0, 4.0]; // two vectors of two units
/// let block = BlockRef::new(Shape::new(1, 1, 2), 2, &x)?;
/// let mut gram = [0.0; 4];
/// add_gram(block, block, &mut gram)?;
/// assert_eq!(gram, [5.0, 11.0, 11.0, 25.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
///
/// **Errors**: if the shapes differ or `sums` is not m × k.
pub fn add_gram<T: Scalar>(x: BlockRef<'_, T>, y: BlockRef<'_, T>, sums: &mut [f64]) -> Result<(), Error> {
    same(x.shape(), y.shape())?;
    length(x.vectors().saturating_mul(y.vectors()), sums.len())?;
    if x.data().is_empty() || y.data().is_empty() {
        return Ok(());
    }
    for b in 0..x.shape().trajectories {
        for (v, row) in sums.chunks_exact_mut(y.vectors().max(1)).enumerate() {
            let part = x.at(b, v);
            row.iter_mut().enumerate().for_each(|(w, sum)| *sum += dot(part, y.at(b, w)));
        }
    }
    Ok(())
}

/// ⟨x, y⟩ in doubles, in eight partial sums: vectorised, and with an eighth of one running sum's rounding.
pub(crate) fn dot<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (mut xs, mut ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (x, y) in (&mut xs).zip(&mut ys) {
        for i in 0..LANES {
            sums[i] += x[i].f64() * y[i].f64();
        }
    }
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x.f64() * y.f64()).sum();
    sums.iter().sum::<f64>() + rest
}
