//! ‖A_ab‖_F between the variables of the state, and tr A_aa.

use super::outputs::Dimension::Variable;
use super::outputs::{Compared, Degree, Output, MATRIX, PLAIN, STANDARD_ERRORS, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Number, Picture, Row};
use super::{History, Quantity};

const TRACES: Output = Output {
    name: "traces",
    dimensions: &[Variable],
    unit: "A",
    error: Some("trace_errors"),
    degree: Degree::Power(1),
    compared: Compared::Estimate,
    meaning: "tr A_aa of each variable.",
    ..PLAIN
};

/// ‖A_ab‖_F between the variables of the state, and tr A_aa.
pub const BLOCKS: Quantity = Quantity {
    name: "blocks",
    title: "blocks",
    formula: "‖A_ab‖_F, tr A_aa",
    about: "How strongly the variables of the state, its layers for example, are coupled in learning.",
    keys: &[],
    whole: true,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        Output {
            dimensions: &[Variable, Variable],
            error: Some(STANDARD_ERRORS.name),
            meaning: "‖A_ab‖_F of the variables a and b.",
            ..MATRIX
        },
        Output { dimensions: &[Variable, Variable], ..STANDARD_ERRORS },
        TRACES,
        Output {
            name: "trace_errors",
            error: None,
            like: Some(TRACES.name),
            compared: Compared::No,
            meaning: "The standard errors of traces.",
            ..TRACES
        },
    ],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Matrix(MATRIX.name),
    // Of a state of one variable the block is the whole.
    rows: &[Row::value("trace"), Row { what: "Frobenius norm", of: MATRIX.name, number: Number::Only }],
    figures: &[Picture::Blocks],
};
