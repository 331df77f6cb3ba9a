//! ‖A‖_F² / ‖A‖².

use super::outputs::{HISTORY, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// ‖A‖_F² / ‖A‖².
pub const STABLE_RANK: Quantity = Quantity {
    name: "stable_rank",
    title: "stable rank",
    formula: "‖A‖_F² / ‖A‖²",
    about: "How many directions matter as much as the largest one.",
    keys: &[],
    whole: false,
    outputs: &[VALUE, STANDARD_ERROR, HISTORY],
    // What is told on the way is of the two norms, one after the other.
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("stable rank")],
    figures: &[Picture::OverStages { place: 1, reading: "" }, Picture::Convergence],
};
