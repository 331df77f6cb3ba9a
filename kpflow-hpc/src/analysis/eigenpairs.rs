//! The largest eigenvalues, their residuals and, if asked, vectors.

use super::keys::{COUNT, VECTORS};
use super::outputs::Dimension::{Mode, Time, Trajectory, Unit};
use super::outputs::{Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS};
use super::shown::{Line, Number, Picture, Row};
use super::{History, Quantity};

/// The largest eigenvalues, their residuals and, if asked, vectors.
pub const EIGENPAIRS: Quantity = Quantity {
    name: "eigenpairs",
    title: "eigenpairs",
    formula: "A v = λ v",
    about: "The leading modes: the directions in which learning moves the state most, and how far.",
    keys: &[&COUNT, &VECTORS],
    whole: false,
    outputs: &[
        EIGENVALUES,
        RESIDUALS,
        Output {
            name: "eigenvectors",
            dimensions: &[Mode, Trajectory, Time, Unit],
            asked: Some(VECTORS.name),
            meaning: "Of length 1.",
            ..PLAIN
        },
        HISTORY_OF_PAIRS,
    ],
    history: History::Residuals,
    sampled: false,
    line: Line::Leading(EIGENVALUES.name),
    rows: &[Row { what: "λ₁", of: EIGENVALUES.name, number: Number::First }],
    figures: &[
        Picture::Spectrum { values: EIGENVALUES.name, word: "eigenvalue" },
        Picture::Energy { all: false },
        Picture::Residuals,
        Picture::Convergence,
    ],
};
