//! ⟨A, B⟩ / (‖A‖‖B‖).

use super::keys::WITH;
use super::outputs::{HISTORY, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// ⟨A, B⟩ / (‖A‖‖B‖).
pub const ALIGNMENT: Quantity = Quantity {
    name: "alignment",
    title: "alignment",
    formula: "⟨A, B⟩_F / (‖A‖_F ‖B‖_F)",
    about: "How alike the operator is to that of other weights: 1 where they are the same up to a factor.",
    keys: &[&WITH],
    whole: true,
    outputs: &[VALUE, STANDARD_ERROR, HISTORY],
    history: History::of_degree(0),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("alignment")],
    figures: &[Picture::BetweenStages, Picture::Convergence],
};
