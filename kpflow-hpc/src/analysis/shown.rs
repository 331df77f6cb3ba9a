//! How a quantity is shown: the line of a run, the rows and figures of the report.

/// What a run prints of an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The value and its error.
    Value,
    /// These words, then the value and its error.
    Words(&'static str),
    /// The first few of this list, and the largest residual.
    Leading(&'static str),
    /// The shape of this matrix, and the value as its trace.
    Matrix(&'static str),
}

/// A row of the report's table of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is called, before "of" and the operator.
    pub what: &'static str,
    /// The dataset.
    pub of: &'static str,
    /// Which number of it.
    pub number: Number,
}

/// Which number of a dataset stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The dataset is a scalar.
    Scalar,
    /// The first of a list.
    First,
    /// The only one; none where there are several.
    Only,
}

impl Row {
    /// The row of a scalar.
    pub const fn scalar(what: &'static str, of: &'static str) -> Self {
        Self { what, of, number: Number::Scalar }
    }

    /// The row of the value.
    pub const fn value(what: &'static str) -> Self {
        Self::scalar(what, "value")
    }
}

/// A figure of the report, or several that belong together; `report/figures` draws them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The value over the files.
    OverStages {
        /// The quantity with the least is drawn first, and widest.
        place: u8,
        /// A sentence on how to read it, or nothing.
        reading: &'static str,
    },
    /// Values of this list, the largest first.
    Spectrum {
        /// The list.
        values: &'static str,
        /// What one of it is called.
        word: &'static str,
    },
    /// The share of the trace in the leading eigenvalues.
    Energy {
        /// Whether the list has all of them; if not the trace is that of the file's analysis of it.
        all: bool,
    },
    /// Residuals of the pairs.
    Residuals,
    /// A smoothed density of eigenvalues.
    Density,
    /// A matrix over axes of the state as colours, and its leading modes.
    Modes,
    /// A matrix over all of the state as colours.
    Cells,
    /// A matrix between variables as colours.
    Blocks,
    /// Values between the files as a matrix.
    BetweenStages,
    /// An error signal in the modes.
    ErrorSignal,
    /// Exponents of each trajectory.
    Exponents,
    /// How the estimate came to its value.
    Convergence,
}

impl Picture {
    /// Whether it is a picture of many cells a file.
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Modes | Self::Cells)
    }

    /// What it shows, for the table of figures in REPORT.md.
    pub fn about(&self) -> &'static str {
        match self {
            Self::OverStages { .. } => "over the files",
            Self::Spectrum { .. } => "spectrum (bars and rings where residuals leave doubt)",
            Self::Energy { .. } => "share of the trace in the leading k with the effective rank marked",
            Self::Residuals => "residuals",
            Self::Density => "over λ and over log₁₀ λ",
            Self::Modes => "leading modes as curves, the matrix as a heat map",
            Self::Cells | Self::Blocks => "heat map",
            Self::BetweenStages => "a matrix between the stages",
            Self::ErrorSignal => "the error signal's share in each mode, time constants",
            Self::Exponents => "exponents of each trajectory, and their mean",
            Self::Convergence => "convergence with bands of 95 %",
        }
    }
}
