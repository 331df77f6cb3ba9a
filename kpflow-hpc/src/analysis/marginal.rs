//! A partial trace.

use super::keys::{AXES, VECTORS};
use super::outputs::Dimension::{Kept, Mode};
use super::outputs::{
    Compared, Output, EFFECTIVE_RANK, EIGENVALUES, HISTORY, MATRIX, PLAIN, STANDARD_ERRORS, STANDARD_ERROR_OF_A,
    VALUE_OF_A,
};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

const RANK_ERROR: &str = "effective_rank_error";

/// A partial trace.
pub const MARGINAL: Quantity = Quantity {
    name: "marginal",
    title: "marginal",
    formula: "Σ_i e_iᵀ A e_i over the other axes",
    about:
        "A matrix over one or two axes of the state: where in the task, and in which units, learning moves it together.",
    // `vectors` says nothing here: its modes are always written. Jobs of before may have it.
    keys: &[&AXES, &VECTORS],
    whole: false,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        Output { error: Some(RANK_ERROR), ..EFFECTIVE_RANK },
        Output { name: RANK_ERROR, meaning: "The standard error of effective_rank.", ..PLAIN },
        Output {
            dimensions: &[Kept, Kept],
            error: Some(STANDARD_ERRORS.name),
            meaning: "The partial trace, over the axes that are kept.",
            ..MATRIX
        },
        Output { dimensions: &[Kept, Kept], ..STANDARD_ERRORS },
        // They are those of an estimated matrix, which is compared by itself.
        Output { compared: Compared::No, meaning: "Those of the matrix, largest first.", ..EIGENVALUES },
        Output {
            name: "modes",
            dimensions: &[Mode, Kept],
            meaning: "The eigenvectors of the matrix, mode i in row i.",
            ..PLAIN
        },
        HISTORY,
    ],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Matrix(MATRIX.name),
    rows: &[Row::value("trace of the marginal"), Row::scalar("effective rank of the marginal", EFFECTIVE_RANK.name)],
    figures: &[
        Picture::Spectrum { values: EIGENVALUES.name, word: "eigenvalue" },
        Picture::Energy { all: true },
        Picture::Modes,
        Picture::Convergence,
    ],
};
