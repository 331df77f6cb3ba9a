//! The largest singular values, their residuals and, if asked, vectors.

use super::keys::{COUNT, VECTORS};
use super::outputs::Dimension::{Mode, Time, Trajectory, Unit};
use super::outputs::{Compared, Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS};
use super::shown::{Line, Number, Picture, Row};
use super::{History, Quantity};

const VALUES: &str = "singular_values";

const VECTORS_OF_EACH: Output =
    Output { dimensions: &[Mode, Trajectory, Time, Unit], asked: Some(VECTORS.name), ..PLAIN };

/// The largest singular values, their residuals and, if asked, vectors.
pub const SINGULAR_TRIPLETS: Quantity = Quantity {
    name: "singular_triplets",
    title: "singular triplets",
    formula: "A v = σ u, Aᵀ u = σ v",
    about: "The leading singular values of propagator and constraint, which are not symmetric.",
    keys: &[&COUNT, &VECTORS],
    whole: false,
    outputs: &[
        Output { name: VALUES, compared: Compared::Spectrum('σ'), ..EIGENVALUES },
        Output { like: Some(VALUES), meaning: "‖A v − σ u‖ / σ_1, measured by one more product.", ..RESIDUALS },
        Output { name: "left_vectors", meaning: "u, of length 1.", ..VECTORS_OF_EACH },
        Output { name: "right_vectors", meaning: "v, of length 1.", ..VECTORS_OF_EACH },
        HISTORY_OF_PAIRS,
    ],
    history: History::Residuals,
    sampled: false,
    line: Line::Leading(VALUES),
    rows: &[Row { what: "σ₁", of: VALUES, number: Number::First }],
    figures: &[Picture::Spectrum { values: VALUES, word: "singular value" }, Picture::Residuals, Picture::Convergence],
};
