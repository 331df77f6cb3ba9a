//! What can be wrong with the arguments of a call.

/// Why something cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A buffer is of another length than needed.
    Length {
        /// Which one.
        what: &'static str,
        /// The numbers needed.
        needed: usize,
        /// The numbers given.
        given: usize,
    },
    /// Two sizes that must be the same are not.
    Mismatch {
        /// Which ones.
        what: &'static str,
        /// The one.
        expected: usize,
        /// The other.
        found: usize,
    },
    /// A size is beyond what can be counted.
    Overflow {
        /// Which one.
        what: &'static str,
    },
    /// A matrix that must be square is not.
    NotSquare {
        /// Its rows.
        rows: usize,
        /// Its columns.
        cols: usize,
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
