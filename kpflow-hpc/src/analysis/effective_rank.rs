//! tr(A)² / ‖A‖_F².

use super::outputs::{HISTORY, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// tr(A)² / ‖A‖_F².
pub const EFFECTIVE_RANK: Quantity = Quantity {
    name: "effective_rank",
    title: "effective rank",
    formula: "tr(A)² / ‖A‖_F²",
    about: "The participation ratio of the eigenvalues: in about how many directions learning moves the state.",
    keys: &[],
    whole: false,
    outputs: &[VALUE, STANDARD_ERROR, HISTORY],
    // Other methods tell of the trace and of the norm, one after the other.
    history: History::Estimate { degree: 1, sampled: 0 },
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("effective rank")],
    figures: &[
        Picture::OverStages {
            place: 0,
            reading: "The effective rank, the squared trace over the squared Frobenius norm, says in about how many \
                      directions learning moves the state.",
        },
        Picture::Convergence,
    ],
};
