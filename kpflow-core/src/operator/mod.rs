//! Linear operators on state tensors, and their algebra.

mod algebra;
pub mod contract;
mod restriction;

pub use algebra::{Adjoint, Compose, Dense, Gram, Identity, Scale, Sum};
pub use restriction::{Restriction, TrajectorySum};

use crate::{BlockMut, BlockRef, Scalar, Shape};

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
    /// # Panics
    /// If a shape is not the operator's, the numbers of vectors differ, or `scratch` is too short.
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]);

    /// Computes `y = Aᵀ x`.
    ///
    /// # Panics
    /// As [`apply`](LinearOperator::apply), with domain and codomain exchanged.
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]);

    /// Computes `y = A x`, or says what does not fit.
    fn try_apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), ApplyError> {
        check(self.domain(), self.codomain(), self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.apply(x, y, scratch);
        Ok(())
    }

    /// Computes `y = Aᵀ x`, or says what does not fit.
    fn try_apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), ApplyError> {
        check(self.codomain(), self.domain(), self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.apply_adjoint(x, y, scratch);
        Ok(())
    }
}

/// Why a product cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// The input vectors have another shape than the operator reads.
    InputShape {
        /// The shape that the operator reads.
        expected: Shape,
        /// The shape that it was given.
        found: Shape,
    },
    /// The output vectors have another shape than the operator writes.
    OutputShape {
        /// The shape that the operator writes.
        expected: Shape,
        /// The shape that it was given.
        found: Shape,
    },
    /// Input and output have different numbers of vectors.
    Vectors {
        /// Vectors of the input.
        input: usize,
        /// Vectors of the output.
        output: usize,
    },
    /// The scratch is too short.
    Scratch {
        /// The numbers needed.
        needed: usize,
        /// The numbers given.
        given: usize,
    },
}

impl core::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::InputShape { expected, found } => {
                write!(f, "the input has shape {found}; the operator reads {expected}")
            }
            Self::OutputShape { expected, found } => {
                write!(f, "the output has shape {found}; the operator writes {expected}")
            }
            Self::Vectors { input, output } => write!(f, "the input has {input} vectors and the output {output}"),
            Self::Scratch { needed, given } => write!(f, "the scratch holds {given} numbers; {needed} are needed"),
        }
    }
}

impl core::error::Error for ApplyError {}

/// Checks the arguments of a product from `domain` to `codomain` that needs `needed` numbers of scratch.
fn check<T: Scalar>(
    domain: Shape,
    codomain: Shape,
    needed: usize,
    x: &BlockRef<'_, T>,
    y: &BlockMut<'_, T>,
    scratch: &[T],
) -> Result<(), ApplyError> {
    if x.shape() != domain {
        return Err(ApplyError::InputShape { expected: domain, found: x.shape() });
    }
    if y.shape() != codomain {
        return Err(ApplyError::OutputShape { expected: codomain, found: y.shape() });
    }
    if x.vectors() != y.vectors() {
        return Err(ApplyError::Vectors { input: x.vectors(), output: y.vectors() });
    }
    if scratch.len() < needed {
        return Err(ApplyError::Scratch { needed, given: scratch.len() });
    }
    Ok(())
}

/// Panics unless the arguments of a product fit; every implementation calls it first.
#[track_caller]
pub(crate) fn require<T: Scalar>(
    domain: Shape,
    codomain: Shape,
    needed: usize,
    x: &BlockRef<'_, T>,
    y: &BlockMut<'_, T>,
    scratch: &[T],
) {
    if let Err(e) = check(domain, codomain, needed, x, y, scratch) {
        panic!("{e}");
    }
}
