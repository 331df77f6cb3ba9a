//! The datasets of a result file: what each is, how it scales, how two of them are compared.

use Dimension::{Mode, Step, Trajectory, Unit};

/// A dataset of an analysis.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// Its axes; none of a scalar.
    pub dimensions: &'static [Dimension],
    /// In what it is measured, A being the operator's own unit; empty where it is a pure number.
    pub unit: &'static str,
    /// The dataset that is its standard error, or by which its error is bounded.
    pub error: Option<&'static str>,
    /// The dataset that has the ends of its 95 % interval.
    pub interval: Option<&'static str>,
    /// The dataset whose shape it has.
    pub like: Option<&'static str>,
    /// How it scales with the operator, as the estimator finds it.
    pub degree: Degree,
    /// How `compare` treats it.
    pub compared: Compared,
    /// What rounding adds to its error.
    pub rounds: Rounds,
    /// The key of the job that asks for it; where there is none it is always written.
    pub asked: Option<&'static str>,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// An axis of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Trajectories of the state, B.
    Trajectory,
    /// Steps of the state, T.
    Time,
    /// Units of the state, N.
    Unit,
    /// Eigenvalues or singular values, the largest first.
    Mode,
    /// Points of a curve, which the dataset of this name has.
    Grid,
    /// Points of a curve over decades, which the dataset of this name has.
    LogGrid,
    /// Vectors that were given.
    Vector,
    /// Variables of the state.
    Variable,
    /// Numbers of the axes that a marginal is onto, the last one fastest.
    Kept,
    /// All numbers of the state.
    State,
    /// Steps of an estimate.
    Step,
    /// What a step of an estimate tells: matvecs, value, error.
    Column,
    /// The ends of an interval.
    End,
}

/// How a dataset scales with the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degree {
    /// So often the operator is a factor.
    Power(i32),
    /// It is the logarithm, to the base of ten, of what has the operator as a factor.
    Log10,
}

/// How `compare` treats a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Not at all.
    No,
    /// Within intervals or standard errors; of an array the entry that is farthest.
    Estimate,
    /// One by one, within the bounds of the residuals; this letter is the name of one.
    Spectrum(char),
}

/// What rounding adds, in squares, to the error of a dataset where products are known to δ of their size ([run in f32](crate::run)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rounds {
    /// Nothing that is told.
    No,
    /// So many times δ of its own size, within the ends of what is possible; of an entry of a square matrix, of √(a_ii a_jj); of another entry, of at least a tenth
    /// of their root mean square.
    Relative {
        /// How many times: of a ratio of squares, twice.
        times: f64,
        /// The least and the largest that it can be.
        possible: [f64; 2],
    },
    /// 2 δ, to a residual: the leading modes are not the mean.
    Residual,
    /// So many times δ ‖A‖_F / (σ² √n), and δ of its own size: log det (1 + A/σ²), whose derivative is (A + σ²)⁻¹.
    OverNoise {
        /// How many times.
        times: f64,
    },
}

impl Rounds {
    /// As products do.
    pub(super) const AS_PRODUCTS: Self = Self::Relative { times: 1.0, possible: [0.0, f64::INFINITY] };
    /// What is of a single mode, which may be farther off than all.
    pub(super) const AS_ONE_MODE: Self = Self::Relative { times: 2.0, possible: [0.0, f64::INFINITY] };
    /// A ratio to a square of that.
    pub(super) const AS_RANK_BY_A_MODE: Self = Self::Relative { times: 4.0, possible: [1.0, f64::INFINITY] };
    /// A rank: a ratio of squares, at least 1.
    pub(super) const AS_RANK: Self = Self::Relative { times: 2.0, possible: [1.0, f64::INFINITY] };
}

impl Dimension {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trajectory => "trajectory",
            Self::Time => "time",
            Self::Unit => "unit",
            Self::Mode => "mode",
            Self::Grid => "grid",
            Self::LogGrid => "log10_grid",
            Self::Vector => "vector",
            Self::Variable => "variable",
            Self::Kept => "kept",
            Self::State => "state",
            Self::Step => "step",
            Self::Column => "column",
            Self::End => "end",
        }
    }
}

impl Dimension {
    /// How long it is, in one letter where the documents have one for it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Trajectory => "B",
            Self::Time => "T",
            Self::Unit => "N",
            Self::Mode => "k",
            Self::Grid | Self::LogGrid => "points",
            Self::Vector => "m",
            Self::Variable => "V",
            Self::Kept => "d",
            Self::State => "n",
            Self::Step => "steps",
            Self::Column => "3",
            Self::End => "2",
        }
    }
}

impl Output {
    /// Whether it is of the state's size: it stays in the file until it is asked for.
    pub fn is_tensor(&self) -> bool {
        [Trajectory, Dimension::Time, Unit].iter().all(|d| self.dimensions.contains(d))
    }
}

/// What is the same of most datasets: a scalar.
pub(super) const PLAIN: Output = Output {
    name: "",
    dimensions: &[],
    unit: "",
    error: None,
    interval: None,
    like: None,
    degree: Degree::Power(0),
    compared: Compared::No,
    rounds: Rounds::No,
    asked: None,
    meaning: "",
};

/// The value, with its error.
pub(super) const VALUE: Output = Output {
    name: "value",
    error: Some(STANDARD_ERROR.name),
    interval: Some(INTERVAL.name),
    compared: Compared::Estimate,
    meaning: "The value.",
    ..PLAIN
};

/// A value of degree 1.
pub(super) const VALUE_OF_A: Output =
    Output { unit: "A", degree: Degree::Power(1), rounds: Rounds::AS_PRODUCTS, ..VALUE };

/// A rank.
pub(super) const VALUE_OF_RANK: Output = Output { rounds: Rounds::AS_RANK, ..VALUE };

/// The value's error.
pub(super) const STANDARD_ERROR: Output = Output {
    name: "standard_error",
    meaning: "Its standard error: 0 where the method is exact and in f64, infinite where too few products allow none.",
    ..PLAIN
};

/// The ends of the value's 95 % interval.
pub(super) const INTERVAL: Output = Output {
    name: "interval",
    dimensions: &[Dimension::End],
    meaning: "The ends of its 95 % interval, which need not be symmetric; infinite where the samples allow no end.",
    ..PLAIN
};

/// The same, of degree 1.
pub(super) const INTERVAL_OF_A: Output = Output { unit: "A", degree: Degree::Power(1), ..INTERVAL };

/// The same, of degree 1.
pub(super) const STANDARD_ERROR_OF_A: Output = Output { unit: "A", degree: Degree::Power(1), ..STANDARD_ERROR };

/// How the estimate came to it. Its degree is [`History`](super::History)'s.
pub(super) const HISTORY: Output = Output {
    name: "history",
    dimensions: &[Step, Dimension::Column],
    meaning: "matvecs, value and standard error as the estimate converged.",
    ..PLAIN
};

/// The same of pairs.
pub(super) const HISTORY_OF_PAIRS: Output =
    Output { meaning: "matvecs, the largest value and the largest estimated residual on the way.", ..HISTORY };

/// Eigenvalues.
pub const EIGENVALUES: Output = Output {
    name: "eigenvalues",
    dimensions: &[Mode],
    unit: "A",
    degree: Degree::Power(1),
    compared: Compared::Spectrum('λ'),
    meaning: "The largest first.",
    ..PLAIN
};

/// Their residuals.
pub const RESIDUALS: Output = Output {
    name: "residuals",
    dimensions: &[Mode],
    like: Some(EIGENVALUES.name),
    rounds: Rounds::Residual,
    meaning: "‖A v − λ v‖ / λ_1, measured; of an exact matrix without vectors what rounding leaves open.",
    ..PLAIN
};

/// A matrix.
pub const MATRIX: Output = Output {
    name: "matrix",
    unit: "A",
    degree: Degree::Power(1),
    compared: Compared::Estimate,
    rounds: Rounds::AS_PRODUCTS,
    ..PLAIN
};

/// The errors of its entries.
pub const STANDARD_ERRORS: Output = Output {
    name: "standard_errors",
    unit: "A",
    like: Some(MATRIX.name),
    degree: Degree::Power(1),
    meaning: "The standard errors of its entries.",
    ..PLAIN
};

/// The effective rank of a matrix.
pub const EFFECTIVE_RANK: Output = Output {
    name: "effective_rank",
    compared: Compared::Estimate,
    rounds: Rounds::AS_RANK,
    meaning: "The effective rank of the matrix, its participation ratio tr²/‖·‖_F².",
    ..PLAIN
};
