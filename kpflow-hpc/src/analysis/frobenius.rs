//! ‖A‖_F.

use super::outputs::{HISTORY, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// ‖A‖_F.
pub const FROBENIUS: Quantity = Quantity {
    name: "frobenius",
    title: "Frobenius norm",
    formula: "‖A‖_F = √(Σ a_ij²)",
    about: "The root of the sum of the squared singular values.",
    keys: &[],
    whole: false,
    outputs: &[VALUE_OF_A, STANDARD_ERROR_OF_A, HISTORY],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("Frobenius norm")],
    figures: &[Picture::OverStages { place: 4, reading: "" }, Picture::Convergence],
};
