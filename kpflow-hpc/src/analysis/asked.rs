//! What the job says of an analysis.

use super::{Key, Operator};
use kpflow_estimate::{Budget, Wanted, Which};

/// What the job says of an analysis.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The operator.
    pub operator: Operator,
    /// Whether it is the operator on all of the state.
    pub whole: bool,
    /// Whether it is the mean over trajectories.
    pub average: bool,
    /// The relative error to reach, and the products that may be spent.
    pub budget: Budget,
    /// Whether a closed form is that of the trace; else of the Frobenius norm.
    pub exact_trace: bool,
    /// How many eigenpairs.
    pub count: usize,
    /// Which.
    pub which: Which,
    /// Whether vectors are kept.
    pub vectors: bool,
    /// Which of trajectory, time and unit are left.
    pub axes: [bool; 3],
    /// For one-sided estimates: forward through the model rather than back.
    pub forward: bool,
    /// η.
    pub learning_rate: f64,
    /// σ² of log det(I + A/σ²) and (A + σ²)⁻¹ b.
    pub noise: f64,
    /// The keys that the job answers by true.
    pub truths: Vec<&'static str>,
    /// Who reads the exact matrices of its operator.
    pub readers: Readers,
}

/// Which side of A = F Fᵀ an exact matrix is of, and what makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A itself, of the numbers of the state or its positions.
    State,
    /// FᵀF, of the weights: it has the same eigenvalues but zeros.
    Weights,
    /// A itself, by the cotangents of its rows in the place of products ([`crate::closed::ExactMatrix`]).
    Cotangents,
}

impl Side {
    /// How many there are: the last one is named here.
    pub const COUNT: usize = Self::Cotangents as usize + 1;

    /// What results call the method that forms its matrix.
    pub fn method(self) -> &'static str {
        match self {
            Side::State | Side::Weights => "dense",
            Side::Cotangents => "exact",
        }
    }
}

/// What a method reads of an exact matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Whether A's own entries; else what the smaller side tells too.
    pub entries: bool,
    /// How much.
    pub wanted: Wanted,
}

impl Reads {
    /// What any side tells, up to this.
    pub const fn spectrum(wanted: Wanted) -> Self {
        Self { entries: false, wanted }
    }

    /// A's own entries, and up to this beside them.
    pub const fn entries(wanted: Wanted) -> Self {
        Self { entries: true, wanted }
    }
}

/// The analyses of a job that read an exact matrix of the same operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readers {
    /// How many read A's entries, and what they want.
    entries: (usize, Wanted),
    /// How many read what either side tells, and what they want.
    either: (usize, Wanted),
}

impl Readers {
    /// Adds one.
    pub fn add(&mut self, reads: Reads) {
        let list = if reads.entries { &mut self.entries } else { &mut self.either };
        *list = (list.0 + 1, list.1.max(reads.wanted));
    }

    /// How many share the matrix of a side, and what has to be found of it, where those of the others are of the side `smaller`.
    pub fn of(&self, side: Side, smaller: Side) -> (usize, Wanted) {
        let none = (0, Wanted::Sums);
        let either = if side == smaller || side == Side::Cotangents { self.either } else { none };
        let entries = if side == Side::Weights { none } else { self.entries };
        ((either.0 + entries.0).max(1), either.1.max(entries.1))
    }
}

impl Asked {
    /// Whether the job answers a key by true.
    pub fn says(&self, key: &Key) -> bool {
        self.truths.contains(&key.name)
    }
}
