//! ‖A‖, the largest |λ| or singular value.

use super::outputs::{Output, HISTORY, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// ‖A‖, the largest |λ| or singular value.
pub const NORM: Quantity = Quantity {
    name: "norm",
    title: "spectral norm",
    formula: "‖A‖ = max ‖A x‖ / ‖x‖",
    about: "The largest eigenvalue; of propagator and constraint the largest singular value.",
    keys: &[],
    whole: false,
    outputs: &[
        VALUE_OF_A,
        Output { meaning: "The bound of its error by the residual.", ..STANDARD_ERROR_OF_A },
        Output { meaning: "matvecs, value and the bound of its error as the estimate converged.", ..HISTORY },
    ],
    history: History::Bound,
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("spectral norm")],
    figures: &[Picture::OverStages { place: 5, reading: "" }, Picture::Convergence],
};
