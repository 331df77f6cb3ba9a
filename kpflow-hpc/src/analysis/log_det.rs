//! log det(I + A/σ²).

use super::keys::NOISE;
use super::outputs::{HISTORY, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// log det(I + A/σ²).
pub const LOG_DET: Quantity = Quantity {
    name: "log_det",
    title: "log det",
    formula: "log det(I + A/σ²)",
    about:
        "Twice the information that observations with noise of variance σ² have of a Gaussian process of this kernel.",
    keys: &[&NOISE],
    whole: false,
    outputs: &[VALUE, STANDARD_ERROR, HISTORY],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("log det")],
    figures: &[Picture::OverStages { place: 6, reading: "" }, Picture::Convergence],
};
