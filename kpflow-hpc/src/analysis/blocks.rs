//! ‖A_ab‖_F between the variables of the state, and tr A_aa.

use super::outputs::Dimension::Variable;
use super::outputs::{
    Compared, Degree, Output, Rounds, INTERVAL_OF_A, MATRIX, PLAIN, STANDARD_ERRORS, STANDARD_ERROR_OF_A, VALUE_OF_A,
};
use super::shown::{Line, Number, Picture, Row};
use super::{Context, Found, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Blocks, Small, Space, StopReason, Wanted};

const TRACES: Output = Output {
    name: "traces",
    dimensions: &[Variable],
    unit: "A",
    error: Some("trace_errors"),
    degree: Degree::Power(1),
    compared: Compared::Estimate,
    rounds: Rounds::AS_PRODUCTS,
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
    with: None,
    require: Facts::nothing,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        INTERVAL_OF_A,
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
            rounds: Rounds::No,
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

/// The methods of blocks.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| match c.cheapest(Reads::entries(Wanted::Sums))? {
            Some(side) => dense(c, side),
            None => sampled(c),
        }),
        Way::new("hutchinson", Operator::symmetric, sampled),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, Side::State)).of_matrix(),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    let (spectrum, (part_of, parts), space) = (c.exact_of(side)?, c.parts(), c.space(View::All)?);
    let matvecs = spectrum.trace().matvecs;
    let blocks =
        space.small(Small::default(), |_| Ok(Some(estimate::dense_blocks(&spectrum, &part_of, parts, matvecs))))?;
    Ok(blocks.map_or_else(|| Found::exact(side.method(), matvecs), |b| found(b, side.method(), parts)))
}

fn sampled<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (part_of, parts) = c.parts();
    let blocks = estimate::blocks(&c.space(View::All)?, &c.budget(), &part_of, parts)?;
    let found = found(blocks, "hutchinson", parts);
    // All that was asked for: there is no tolerance to reach.
    Ok(Found { stop: StopReason::Tolerance, status: Some("max_matvecs reached"), ..found })
}

fn found<B>(blocks: Blocks, method: &'static str, parts: usize) -> Found<B> {
    Found::of((blocks.trace, method)).with(vec![
        ("matrix", vec![parts, parts], blocks.norms),
        ("standard_errors", vec![parts, parts], blocks.norm_errors),
        ("traces", vec![parts], blocks.traces),
        ("trace_errors", vec![parts], blocks.trace_errors),
    ])
}
