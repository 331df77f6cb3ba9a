//! What can be wrong with the arguments of a call.

/// Why something cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
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
    /// A matrix that must be symmetric is not, at (row, column).
    NotSymmetric {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
    },
    /// A matrix has no inverse in the precision of the arithmetic.
    Singular {
        /// Its size.
        size: usize,
    },
    /// A matrix that must be positive semidefinite has negative eigenvalues.
    NotSemidefinite {
        /// How many.
        negative: usize,
        /// Its size.
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
}

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
