//! The sum over trajectories, those of other processes included.

use super::{check, LinearOperator, Properties};
use crate::machine::Reduce;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The sum over trajectories E: `(E x)[t, j] = Σ_b x[b, t, j]`, over all processes.
///
/// For a block diagonal A, `E A Eᵀ / B` is the mean of the diagonal blocks, Ā = (1/B) Σ_b A_bb: a partial trace over trajectories, divided by their number. For
/// an A that couples trajectories the same expression adds up all pairs, (1/B) Σ_{b,b'} A_bb', an axis sum: another thing.
/// **Shapes**: this process's `[B, T, N]` to `[1, T, N]` on the process that `owns` the sum and `[0, T, N]` on the others. **Cost**: one sum
/// of m·T·N numbers over processes, as many of scratch.
pub struct TrajectorySum<'a, R> {
    shape: Shape,
    owns: bool,
    reduce: &'a R,
}

impl<'a, R> TrajectorySum<'a, R> {
    /// Makes the sum over the trajectories of all processes' `shape`s; exactly one process owns it.
    pub fn new(shape: Shape, owns: bool, reduce: &'a R) -> Self {
        Self { shape, owns, reduce }
    }
}

impl<R> fmt::Display for TrajectorySum<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("E")
    }
}

impl<T: Scalar, R: Reduce<T>> LinearOperator<T> for TrajectorySum<'_, R> {
    fn domain(&self) -> Shape {
        self.shape
    }
    fn codomain(&self) -> Shape {
        self.shape.with_trajectories(usize::from(self.owns))
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors.saturating_mul(self.shape.per_trajectory())
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let len = LinearOperator::<T>::scratch_len(self, x.vectors());
        check(self.shape, LinearOperator::<T>::codomain(self), len, &x, &y, scratch)?;
        let sum = &mut scratch[..len];
        sum.fill(T::zero());
        for part in x.data().chunks(len.max(1)) {
            sum.iter_mut().zip(part).for_each(|(s, x)| *s += *x);
        }
        self.reduce.sum(sum);
        if self.owns {
            y.data().copy_from_slice(sum);
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let len = LinearOperator::<T>::scratch_len(self, x.vectors());
        check(LinearOperator::<T>::codomain(self), self.shape, len, &x, &y, scratch)?;
        let sum = &mut scratch[..len];
        sum.fill(T::zero());
        if self.owns {
            sum.copy_from_slice(x.data());
        }
        self.reduce.sum(sum);
        y.data().chunks_mut(len.max(1)).for_each(|part| part.copy_from_slice(sum));
        Ok(())
    }
    /// T·N numbers are written in all, by whichever process.
    fn properties(&self) -> Properties {
        Properties { rank_bound: self.shape.per_trajectory(), ..Properties::UNKNOWN }
    }
}
