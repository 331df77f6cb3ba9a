//! tr A.

use super::keys::SIDE;
use super::outputs::{HISTORY, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// tr A.
pub const TRACE: Quantity = Quantity {
    name: "trace",
    title: "trace",
    formula: "tr A",
    about: "The sum of the eigenvalues: how far learning moves the state in all.",
    keys: &[&SIDE],
    whole: false,
    outputs: &[VALUE_OF_A, STANDARD_ERROR_OF_A, HISTORY],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("trace")],
    figures: &[Picture::OverStages { place: 3, reading: "" }, Picture::Convergence],
};
