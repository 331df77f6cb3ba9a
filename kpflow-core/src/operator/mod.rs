//! Linear operators on state tensors, and their algebra.
//!
//! | known by itself | [`Identity`], [`Zero`], [`Diagonal`], [`Dense`], [`OnAxis`], [`LowRank`], [`RankOne`], [`Projection`] |
//! |---|---|
//! | made of others | [`Compose`], [`Sum`], [`Difference`], [`Scaled`], [`Adjoint`], [`Gram`], [`Normal`], [`SymmetricPart`], [`Deflated`], [`BlockDiagonal`] |
//! | moves numbers | [`Reshape`], [`PermuteAxes`], [`Restriction`], [`TimeShift`], [`AxisSum`], [`TrajectorySum`] |
//! | smaller than what it is made of | [`PartialTrace`], [`PartialAverage`]; `R A Rᵀ`, [`Within`] |
//!
//! [`Kronecker`](crate::kronecker) products and those of a [model](crate::ntk) are operators like these. Expressions are written with the methods of
//! [`Expression`] and print themselves: `P ∘ K ∘ Pᵀ`. What they are ([`Properties`]) follows from what they are made of. Who writes an operator checks it
//! with [`contract`].

mod axes;
mod basic;
mod blocks;
mod compose;
pub mod contract;
mod delegate;
mod dense;
pub(crate) mod display;
mod expression;
mod low_rank;
mod moves;
mod properties;
mod restriction;
mod trajectory_sum;
mod unary;

pub use axes::{AxisSum, PermuteAxes, Reshape, TimeShift};
pub use basic::{Diagonal, Identity, Zero};
pub use blocks::{BlockDiagonal, DiagonalBlocks, PartialAverage, PartialTrace};
pub use compose::{Combination, Compose, Difference, Sum};
pub use dense::{Dense, OnAxis};
pub use expression::Expression;
pub use low_rank::{Deflated, LowRank, Projection, RankOne};
pub use properties::Properties;
pub use restriction::{Restriction, Select};
pub use trajectory_sum::TrajectorySum;
pub use unary::{Adjoint, Gram, Named, Normal, Scaled, SymmetricPart, Within};

use crate::error::enough;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};

/// A linear map between spaces of state tensors, applied matrix-free to a block of vectors.
///
/// Implementations never allocate: what they need for work is `scratch`, whose length
/// [`scratch_len`](LinearOperator::scratch_len) tells beforehand. Its contents, and those of the output,
/// do not matter on entry.
pub trait LinearOperator<T: Scalar> {
    /// The shape of the vectors that [`apply`](LinearOperator::apply) reads.
    fn domain(&self) -> Shape;

    /// The shape of the vectors that [`apply`](LinearOperator::apply) writes.
    fn codomain(&self) -> Shape;

    /// How many numbers of scratch a product with a block of `vectors` vectors needs, in either direction.
    fn scratch_len(&self, vectors: usize) -> usize;

    /// Computes `y = A x`.
    ///
    /// **Errors**: if a shape is not the operator's, the numbers of vectors differ, or `scratch` is too short.
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error>;

    /// Computes `y = Aᵀ x`.
    ///
    /// **Errors**: as [`apply`](LinearOperator::apply), with domain and codomain exchanged.
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error>;

    /// Says what is known of the operator without a product: whether it is symmetric, positive semidefinite, block diagonal, and its rank's bound.
    ///
    /// Unless the operator says more, its rank is at most the smaller dimension and nothing else is known. An operator whose vectors are spread over
    /// processes has to say its own, for the dimensions are those of one process. **Cost**: no product; at most a look at each number that the operator is
    /// given by. Not collective.
    fn properties(&self) -> Properties {
        Properties::between(self.domain(), self.codomain())
    }
}

/// Checks the arguments of a product from `domain` to `codomain` that needs `needed` numbers of scratch: what every operator does first.
pub fn check<T: Scalar>(
    domain: Shape,
    codomain: Shape,
    needed: usize,
    x: &BlockRef<'_, T>,
    y: &BlockMut<'_, T>,
    scratch: &[T],
) -> Result<(), Error> {
    if x.shape() != domain {
        return Err(Error::InputShape { expected: domain, found: x.shape() });
    }
    if y.shape() != codomain {
        return Err(Error::OutputShape { expected: codomain, found: y.shape() });
    }
    if x.vectors() != y.vectors() {
        return Err(Error::Vectors { expected: x.vectors(), found: y.vectors() });
    }
    enough(needed, scratch.len())
}
