//! The whole matrix.

use super::outputs::Dimension::State;
use super::outputs::{Output, EFFECTIVE_RANK, EIGENVALUES, MATRIX as ENTRIES, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// The whole matrix.
pub const MATRIX: Quantity = Quantity {
    name: "matrix",
    title: "matrix",
    formula: "a_ij",
    about: "Every entry, for states of a few thousand numbers.",
    keys: &[],
    whole: false,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        EFFECTIVE_RANK,
        Output { dimensions: &[State, State], meaning: "The whole, by flat indices (b·T + t)·N + j.", ..ENTRIES },
        Output { meaning: "All of them, largest first.", ..EIGENVALUES },
    ],
    history: History::of_degree(1),
    sampled: false,
    line: Line::Matrix(ENTRIES.name),
    rows: &[Row::value("trace"), Row::scalar("effective rank", EFFECTIVE_RANK.name)],
    figures: &[
        Picture::Spectrum { values: EIGENVALUES.name, word: "eigenvalue" },
        Picture::Energy { all: true },
        Picture::Cells,
    ],
};
