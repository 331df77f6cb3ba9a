//! exp(−Σ p log p), p = λ / tr A.

use super::outputs::{HISTORY, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// exp(−Σ p log p), p = λ / tr A.
pub const ENTROPY_RANK: Quantity = Quantity {
    name: "entropy_rank",
    title: "entropy rank",
    formula: "exp(−Σ p log p), p = λ / tr A",
    about: "The exponential of the entropy of the eigenvalues' shares of the trace.",
    keys: &[],
    whole: false,
    outputs: &[VALUE, STANDARD_ERROR, HISTORY],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("entropy rank")],
    figures: &[Picture::OverStages { place: 2, reading: "" }, Picture::Convergence],
};
