//! eᵀ A e / (‖e‖² λ_max).

use super::keys::{COUNT, LEARNING_RATE, WITH};
use super::outputs::Dimension::Mode;
use super::outputs::{
    Compared, Degree, Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS, STANDARD_ERROR, VALUE,
};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

const DECREASE: &str = "predicted_decrease";

/// The error signal in the modes.
pub const ENERGIES: Output = Output {
    name: "energies",
    dimensions: &[Mode],
    like: Some(EIGENVALUES.name),
    meaning: "(v·e)² / ‖e‖² of each mode v.",
    ..PLAIN
};

/// How fast the error in each mode goes.
pub const TIME_CONSTANTS: Output = Output {
    name: "time_constants",
    unit: "steps",
    degree: Degree::Power(-1),
    meaning: "1/(ηλ): steps of gradient descent until the error along a mode has shrunk by e.",
    ..ENERGIES
};

/// eᵀ A e / (‖e‖² λ_max).
pub const LEARNABILITY: Quantity = Quantity {
    name: "learnability",
    title: "learnability",
    formula: "eᵀ A e / (‖e‖² λ_max)",
    about: "What gradient descent can do about an error signal e, by the share of it in each mode.",
    keys: &[&COUNT, &WITH, &LEARNING_RATE],
    whole: true,
    outputs: &[
        VALUE,
        STANDARD_ERROR,
        // The run scales it itself, together with the error signal.
        Output {
            name: DECREASE,
            unit: "loss",
            compared: Compared::Estimate,
            meaning: "η eᵀ A e: by how much a step of gradient descent lowers the loss.",
            ..PLAIN
        },
        EIGENVALUES,
        RESIDUALS,
        ENERGIES,
        TIME_CONSTANTS,
        HISTORY_OF_PAIRS,
    ],
    history: History::Residuals,
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("learnability"), Row::scalar("predicted decrease of the loss, a step,", DECREASE)],
    figures: &[Picture::OverStages { place: 7, reading: "" }, Picture::ErrorSignal, Picture::Convergence],
};
