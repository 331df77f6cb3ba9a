//! What the job says of an analysis.

use super::{Key, Operator};
use kpflow_estimate::Budget;

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
    /// Whether vectors are kept.
    pub vectors: bool,
    /// Which of trajectory, time and unit are left.
    pub axes: [bool; 3],
    /// For one-sided estimates: forward through the model rather than back.
    pub forward: bool,
    /// η.
    pub learning_rate: f64,
    /// σ².
    pub noise: f64,
    /// The keys that the job answers by true.
    pub truths: Vec<&'static str>,
}

impl Asked {
    /// Whether the job answers a key by true.
    pub fn says(&self, key: &Key) -> bool {
        self.truths.contains(&key.name)
    }
}
