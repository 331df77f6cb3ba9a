//! What does not fit.

use crate::Shape;
use core::fmt;

/// Why a call did nothing: the shape, the length or the place that was expected, and the one that was found.
///
/// ```
/// use kpflow_core::{operator::Identity, BlockMut, BlockRef, Error, LinearOperator, Shape};
/// let (shape, x, mut y) = (Shape::new(1, 2, 3), [0.0; 6], [0.0; 5]);
/// let y = BlockMut::new(shape, 1, &mut y);
/// assert_eq!(y.unwrap_err(), Error::Length { expected: 6, found: 5 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
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
    /// Two operators do not fit each other, or one that has to be square is not.
    Space {
        /// The shape that one side has.
        expected: Shape,
        /// The shape that the other side has.
        found: Shape,
    },
    /// Two blocks have different numbers of vectors, or one has too few.
    Vectors {
        /// The vectors that were expected: those of the input.
        expected: usize,
        /// The vectors that were found: those of the output.
        found: usize,
    },
    /// The scratch is too short.
    Scratch {
        /// The numbers needed.
        needed: usize,
        /// The numbers given.
        given: usize,
    },
    /// A buffer is not as long as it has to be.
    Length {
        /// The numbers that it must hold.
        expected: usize,
        /// The numbers that it holds.
        found: usize,
    },
    /// Two matrices do not fit each other, or one that has to be square is not.
    Matrix {
        /// The rows and columns that were expected.
        expected: (usize, usize),
        /// The rows and columns that were found.
        found: (usize, usize),
    },
    /// A place, or the end of a range, lies beyond what there is.
    Range {
        /// The first number that is too large.
        limit: usize,
        /// The number that was found.
        found: usize,
    },
    /// The product of two sizes is beyond what can be counted.
    Overflow {
        /// The one.
        left: usize,
        /// The other.
        right: usize,
    },
    /// A matrix that must be symmetric is not.
    NotSymmetric {
        /// The row of a number that differs from the one mirrored at the diagonal.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A matrix that must be positive semidefinite has negative eigenvalues.
    NotSemidefinite {
        /// How many.
        negative: usize,
        /// The matrix's size.
        size: usize,
    },
    /// A matrix has no inverse in the precision of the arithmetic.
    Singular {
        /// The matrix's size.
        size: usize,
    },
    /// A number that must be finite is not.
    NotFinite {
        /// Its place.
        place: usize,
    },
    /// An iteration has not converged.
    NotConverged {
        /// The sweeps that were made.
        sweeps: usize,
    },
    /// A list names the same thing twice.
    Repeated {
        /// Where in the list it stands first.
        first: usize,
        /// Where it stands again.
        again: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputShape { expected, found } => {
                write!(f, "the input has shape {found}; the operator reads {expected}")
            }
            Self::OutputShape { expected, found } => {
                write!(f, "the output has shape {found}; the operator writes {expected}")
            }
            Self::Space { expected, found } => write!(f, "the shapes {found} and {expected} have to be the same"),
            Self::Vectors { expected, found } => write!(f, "there are {found} vectors; {expected} are expected"),
            Self::Scratch { needed, given } => write!(f, "the scratch holds {given} numbers; {needed} are needed"),
            Self::Length { expected, found } => write!(f, "a buffer holds {found} numbers; {expected} are expected"),
            Self::Matrix { expected: (r, c), found: (rows, cols) } => {
                write!(f, "a matrix is {rows} × {cols}; {r} × {c} is expected")
            }
            Self::Range { limit, found } => write!(f, "{found} is out of range; it has to be below {limit}"),
            Self::Overflow { left, right } => write!(f, "{left} · {right} is more than can be counted"),
            Self::NotSymmetric { row, column } => {
                write!(f, "a matrix has to be symmetric, but is not at row {row}, column {column}")
            }
            Self::NotSemidefinite { negative, size } => {
                write!(
                    f,
                    "{negative} of the {size} eigenvalues are negative; the matrix has to be positive semidefinite"
                )
            }
            Self::Singular { size } => write!(f, "a {size} × {size} matrix is singular"),
            Self::NotFinite { place } => write!(f, "number {place} is not finite"),
            Self::NotConverged { sweeps } => write!(f, "an iteration has not converged in {sweeps} sweeps"),
            Self::Repeated { first, again } => write!(f, "entry {again} of a list repeats entry {first}"),
        }
    }
}

impl core::error::Error for Error {}

/// Fails unless a buffer holds `expected` numbers.
pub(crate) fn length(expected: usize, found: usize) -> Result<(), Error> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Length { expected, found })
    }
}

/// Fails unless a scratch holds `needed` numbers.
pub(crate) fn enough(needed: usize, given: usize) -> Result<(), Error> {
    if given >= needed {
        Ok(())
    } else {
        Err(Error::Scratch { needed, given })
    }
}

/// Fails unless `found` is below `limit`.
pub(crate) fn below(limit: usize, found: usize) -> Result<(), Error> {
    if found < limit {
        Ok(())
    } else {
        Err(Error::Range { limit, found })
    }
}

/// Fails if `found` is beyond `most`.
pub(crate) fn at_most(most: usize, found: usize) -> Result<(), Error> {
    if found <= most {
        Ok(())
    } else {
        Err(Error::Range { limit: most.saturating_add(1), found })
    }
}

/// Fails unless two shapes are the same.
pub(crate) fn same(expected: Shape, found: Shape) -> Result<(), Error> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Space { expected, found })
    }
}
