//! From the whole state to a part of it, or to a sum over trajectories.

use super::{check, LinearOperator};
use crate::error::below;
use crate::machine::Reduce;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::ops::Range;

/// The restriction R to a window of steps and a list of units: `(R x)[b, t, k] = x[b, first + t, units[k]]`.
///
/// Its adjoint puts zeros elsewhere, so `R A Rᵀ`, which is `Compose::new(r, Compose::new(a, Adjoint(r)))`, is the block of A that belongs to the part.
/// **Shapes**: `[B, T, N]` to `[B, window, units]`. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::Restriction, BlockMut, BlockRef, LinearOperator, Shape};
/// let r = Restriction::new(Shape::new(1, 2, 3), 1..2, Some(&[2, 0]))?;
/// let (x, mut y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 2]);
/// r.apply(BlockRef::new(r.full(), 1, &x)?, BlockMut::new(r.part(), 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [6.0, 4.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Restriction<'a> {
    full: Shape,
    window: Range<usize>,
    units: Option<&'a [usize]>,
}

impl<'a> Restriction<'a> {
    /// Makes the restriction; `None` takes all units.
    ///
    /// **Errors**: if the window or a unit is not in the shape, or a unit is listed twice.
    pub fn new(full: Shape, window: Range<usize>, units: Option<&'a [usize]>) -> Result<Self, Error> {
        below(full.steps.saturating_add(1), window.end)?;
        below(window.end + 1, window.start)?;
        for (again, unit) in units.into_iter().flatten().enumerate() {
            below(full.units, *unit)?;
            if let Some(first) = units.into_iter().flatten().take(again).position(|u| u == unit) {
                return Err(Error::Repeated { first, again });
            }
        }
        Ok(Self { full, window, units })
    }

    /// The shape of the whole.
    pub fn full(&self) -> Shape {
        self.full
    }

    /// The shape of the part.
    pub fn part(&self) -> Shape {
        let units = self.units.map_or(self.full.units, <[usize]>::len);
        Shape::new(self.full.trajectories, self.window.len(), units)
    }

    fn unit(&self, k: usize) -> usize {
        self.units.map_or(k, |units| units[k])
    }
}

impl<T: Scalar> LinearOperator<T> for Restriction<'_> {
    fn domain(&self) -> Shape {
        self.full
    }
    fn codomain(&self) -> Shape {
        self.part()
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let part = self.part();
        check(self.full, part, 0, &x, &y, scratch)?;
        for b in 0..part.trajectories {
            for v in 0..x.vectors() {
                let (from, to) = (x.at(b, v), y.at(b, v));
                for (i, y) in to.iter_mut().enumerate() {
                    *y = from[(self.window.start + i / part.units) * self.full.units + self.unit(i % part.units)];
                }
            }
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let part = self.part();
        check(part, self.full, 0, &x, &y, scratch)?;
        y.data().fill(T::zero());
        for b in 0..part.trajectories {
            for v in 0..x.vectors() {
                let (from, to) = (x.at(b, v), y.at(b, v));
                for (i, x) in from.iter().enumerate() {
                    to[(self.window.start + i / part.units) * self.full.units + self.unit(i % part.units)] = *x;
                }
            }
        }
        Ok(())
    }
}

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
}
