//! Operators that act trajectory by trajectory, and the diagonal blocks of others.

use super::display::{expression, Binds};
use super::moves::{gather, name, on_axis, scatter, with_axis};
use super::{check, LinearOperator, Properties, Restriction};
use crate::error::same;
use crate::{Axis, BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The block diagonal `⊕_i A_i` over trajectories: each block acts on its own ones, one after the other.
///
/// **Adjoint**: `⊕_i A_iᵀ`. **Cost**: one product with every block. **Scratch**: the largest of the blocks'.
///
/// ```
/// use kpflow_core::{operator::{BlockDiagonal, Dense}, BlockMut, BlockRef, LinearOperator, Shape};
/// let one = Shape::new(1, 1, 1);
/// let blocks = [Dense::new(&[2.0], one, one)?, Dense::new(&[3.0], one, one)?];
/// let (sum, two, mut y) = (BlockDiagonal::new(&blocks)?, Shape::new(2, 1, 1), [0.0; 2]);
/// sum.apply(BlockRef::new(two, 1, &[1.0, 1.0])?, BlockMut::new(two, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [2.0, 3.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BlockDiagonal<'a, A> {
    blocks: &'a [A],
    domain: Shape,
    codomain: Shape,
}

impl<'a, A> BlockDiagonal<'a, A> {
    /// Makes the block diagonal of these operators.
    ///
    /// **Errors**: if there is none, or their shapes differ by more than the trajectories.
    pub fn new<T: Scalar>(blocks: &'a [A]) -> Result<Self, Error>
    where
        A: LinearOperator<T>,
    {
        let first = blocks.first().ok_or(Error::Length { expected: 1, found: 0 })?;
        let (mut domain, mut codomain) = (first.domain(), first.codomain());
        for block in &blocks[1..] {
            let (from, to) = (block.domain(), block.codomain());
            same(domain.with_trajectories(from.trajectories), from)?;
            same(codomain.with_trajectories(to.trajectories), to)?;
            domain.trajectories = domain.trajectories.saturating_add(from.trajectories);
            codomain.trajectories = codomain.trajectories.saturating_add(to.trajectories);
        }
        Ok(Self { blocks, domain, codomain })
    }

    /// Calls `f(block, its part of x, its part of y)` for every block.
    fn each<T: Scalar>(
        &self,
        adjoint: bool,
        x: BlockRef<'_, T>,
        y: BlockMut<'_, T>,
        mut f: impl FnMut(&A, BlockRef<'_, T>, BlockMut<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        A: LinearOperator<T>,
    {
        let (m, mut x, mut y) = (x.vectors(), x.data(), y.into_data());
        for block in self.blocks {
            let (mut from, mut to) = (block.domain(), block.codomain());
            if adjoint {
                (from, to) = (to, from);
            }
            let (own, rest) = x.split_at(m.saturating_mul(from.len()));
            x = rest;
            let (out, rest) = y.split_at_mut(m.saturating_mul(to.len()));
            y = rest;
            f(block, BlockRef::of(from, m, own), BlockMut::of(to, m, out))?;
        }
        Ok(())
    }
}

impl<A: fmt::Display> fmt::Display for BlockDiagonal<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Sum, |f| {
            for (i, block) in self.blocks.iter().enumerate() {
                write!(f, "{}{block:#}", if i == 0 { "" } else { " ⊕ " })?;
            }
            Ok(())
        })
    }
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for BlockDiagonal<'_, A> {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn codomain(&self) -> Shape {
        self.codomain
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.blocks.iter().map(|a| a.scratch_len(vectors)).max().unwrap_or(0)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain, self.codomain, self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.each(false, x, y, |block, x, y| block.apply(x, y, scratch))
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain, self.domain, self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.each(true, x, y, |block, x, y| block.apply_adjoint(x, y, scratch))
    }
    fn properties(&self) -> Properties {
        let of_block = |a: &A| {
            let own = a.properties();
            let single = a.domain().trajectories == 1 && a.codomain().trajectories == 1;
            Properties { block_diagonal: own.block_diagonal || single, ..own }
        };
        let nothing = Properties { rank_bound: 0, ..Properties::IDENTITY };
        self.blocks.iter().map(of_block).fold(nothing, Properties::sum)
    }
}

/// The sum of the diagonal blocks over an axis, `Σ_i e_iᵀ A e_i`, which is the [`PartialTrace`], or their mean, the [`PartialAverage`].
///
/// What it is not: the sum over all blocks, [`AxisSum`](super::AxisSum), which has the example of all three. **Shapes**: A's with one place on the
/// axis. **Adjoint**: that of Aᵀ. **Cost**: n products with A, n the places of the axis. **Scratch**: two blocks of A's shape, and A's.
#[derive(Clone, Copy, Debug)]
pub struct DiagonalBlocks<A, const AVERAGE: bool> {
    a: A,
    axis: Axis,
}

/// The partial trace over an axis, `Σ_i e_iᵀ A e_i`: see [`DiagonalBlocks`].
pub type PartialTrace<A> = DiagonalBlocks<A, false>;

/// The mean of the diagonal blocks over an axis of n places, `(1/n) Σ_i e_iᵀ A e_i`: see [`DiagonalBlocks`].
pub type PartialAverage<A> = DiagonalBlocks<A, true>;

impl<A, const AVERAGE: bool> DiagonalBlocks<A, AVERAGE> {
    /// Makes the partial trace of a square A over an axis.
    ///
    /// **Errors**: if A is not square.
    pub fn new<T: Scalar>(a: A, axis: Axis) -> Result<Self, Error>
    where
        A: LinearOperator<T>,
    {
        same(a.domain(), a.codomain())?;
        Ok(Self { a, axis })
    }

    fn product<T: Scalar>(
        &self,
        x: BlockRef<'_, T>,
        mut y: BlockMut<'_, T>,
        scratch: &mut [T],
        apply: impl Fn(&A, BlockRef<'_, T>, BlockMut<'_, T>, &mut [T]) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        A: LinearOperator<T>,
    {
        let (m, full) = (x.vectors(), self.a.domain());
        let own = LinearOperator::<T>::domain(self);
        check(own, own, self.scratch_len(m), &x, &y, scratch)?;
        let (from, rest) = scratch.split_at_mut(m * full.len());
        let (to, scratch) = rest.split_at_mut(m * full.len());
        y.data().fill(T::zero());
        let places = if x.data().is_empty() || full.is_empty() { 0 } else { on_axis(full, self.axis) };
        for i in 0..places {
            let slice = Restriction::slice(full, self.axis, i);
            scatter(&slice, x, BlockMut::of(full, m, from));
            apply(&self.a, BlockRef::of(full, m, from), BlockMut::of(full, m, to), scratch)?;
            gather(&slice, BlockRef::of(full, m, to), y.reborrow(), true);
        }
        if AVERAGE && places > 0 {
            let mean = T::of(1.0 / places as f64);
            y.data().iter_mut().for_each(|y| *y *= mean);
        }
        Ok(())
    }
}

impl<A: fmt::Display, const AVERAGE: bool> fmt::Display for DiagonalBlocks<A, AVERAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}({})", if AVERAGE { "avg" } else { "tr" }, name(self.axis), self.a)
    }
}

impl<T: Scalar, A: LinearOperator<T>, const AVERAGE: bool> LinearOperator<T> for DiagonalBlocks<A, AVERAGE> {
    fn domain(&self) -> Shape {
        with_axis(self.a.domain(), self.axis, 1)
    }
    fn codomain(&self) -> Shape {
        with_axis(self.a.domain(), self.axis, 1)
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let block = vectors.saturating_mul(self.a.domain().len());
        block.saturating_mul(2).saturating_add(self.a.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.product(x, y, scratch, |a, x, y, scratch| a.apply(x, y, scratch))
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.product(x, y, scratch, |a, x, y, scratch| a.apply_adjoint(x, y, scratch))
    }
    fn properties(&self) -> Properties {
        let a = self.a.properties();
        Properties {
            // What is left of the axis of trajectories is a single one, whichever process holds it.
            block_diagonal: a.block_diagonal && self.axis != Axis::Trajectory,
            rank_bound: a.rank_bound.saturating_mul(on_axis(self.a.domain(), self.axis)),
            ..a
        }
    }
}
