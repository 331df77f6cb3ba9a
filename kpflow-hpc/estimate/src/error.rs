//! Why there is no estimate.

use std::fmt;

/// What an estimator ends with where it cannot estimate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The method needs a positive semidefinite operator, and products say that this one is not.
    NotPositiveSemidefinite {
        /// Methods that do not need it.
        instead: &'static str,
    },
    /// The method needs an operator that is this, and the operator says that it is not.
    Unfit(&'static str),
    /// Eigenvalues are asked for of a matrix A with this ‖A − Aᵀ‖/‖A‖.
    NotSymmetric(f64),
    /// A product has infinities, or numbers that are none, where the method cannot go on.
    NotFinite,
    /// Products leave the range of numbers of this ε.
    OutOfRange {
        /// The distance from 1 to the next number.
        epsilon: f64,
    },
    /// A matrix of so many rows is not formed.
    TooLarge {
        /// The rows that it would have.
        rows: usize,
        /// The most that are formed.
        most: usize,
        /// What it is, and what to do instead.
        what: &'static str,
    },
    /// A signal of this squared norm has no direction.
    NoDirection(f64),
    /// There are no eigenpairs to compare with.
    NoPairs,
    /// A product or a sum ended the estimate: what it said.
    Stopped(Box<dyn std::error::Error + Send + Sync>),
}

/// A result that may be an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Ends an estimate from within a product or a sum.
    pub fn stopped(why: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Stopped(Box::new(why))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositiveSemidefinite { instead } => {
                write!(f, "the operator is not positive semidefinite, which this method needs; take {instead}")
            }
            Self::Unfit(what) => write!(f, "the method needs a {what} operator, and this one says that it is not"),
            Self::NotSymmetric(skew) => write!(f, "the operator is not symmetric: ‖A − Aᵀ‖ = {skew:.1e} ‖A‖"),
            Self::NotFinite => f.write_str("the products are not finite"),
            Self::OutOfRange { epsilon } => {
                write!(f, "the operator's products leave the range: {}", beyond(*epsilon))
            }
            Self::TooLarge { rows, most, what } => {
                let (what, instead) = what.split_once("; ").unwrap_or((what, "take fewer numbers"));
                write!(f, "{what} would be {rows} × {rows}; it is for at most {most} {instead}")
            }
            Self::NoDirection(square) => {
                write!(f, "the error signal has squared norm {square}; there is nothing to learn from it")
            }
            Self::NoPairs => f.write_str("there are no eigenpairs to compare the error signal with"),
            Self::Stopped(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stopped(why) => Some(&**why),
            Self::NotPositiveSemidefinite { .. }
            | Self::NotSymmetric(_)
            | Self::Unfit(_)
            | Self::NotFinite
            | Self::OutOfRange { .. }
            | Self::TooLarge { .. }
            | Self::NoDirection(_)
            | Self::NoPairs => None,
        }
    }
}

impl From<kpflow_core::Error> for Error {
    fn from(e: kpflow_core::Error) -> Self {
        Self::stopped(e)
    }
}

/// What to do where numbers of this ε leave their range: never to take the precision that they have.
pub fn beyond(epsilon: f64) -> &'static str {
    match epsilon > 1e-10 {
        true => "single precision holds 1e-38 to 3e38; take precision = \"f64\", or check the weights and inputs",
        false => "double precision holds 1e-308 to 1e308, and no other has more; scale the weights or the inputs, or take fewer steps",
    }
}

/// What there is, or `None` where the estimate is no good; what stopped it does stop it.
pub(crate) fn unless_stopped<R>(result: Result<R>) -> Result<Option<R>> {
    match result {
        Err(e @ Error::Stopped(_)) => Err(e),
        other => Ok(other.ok()),
    }
}

/// What a call of the core gives whose sizes were computed from the operator's own: an error would be a mistake here.
#[track_caller]
pub(crate) fn fits<T>(result: std::result::Result<T, kpflow_core::Error>) -> T {
    result.unwrap_or_else(|e| panic!("a mistake in kpflow-estimate: {e}"))
}
