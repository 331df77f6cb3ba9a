//! A partial trace.

use super::keys::{AXES, VECTORS};
use super::outputs::Dimension::{Kept, Mode};
use super::outputs::{
    Compared, Output, EFFECTIVE_RANK, EIGENVALUES, HISTORY, INTERVAL_OF_A, MATRIX, PLAIN, STANDARD_ERRORS,
    STANDARD_ERROR_OF_A, VALUE_OF_A,
};
use super::shown::{Line, Picture, Row};
use super::{Context, Found, Named, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Marginal, Small, Space, Split, Wanted};

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
    with: None,
    require: Facts::marginal,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        INTERVAL_OF_A,
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

/// The methods of a marginal.
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
    let (spectrum, space, kept) = (c.exact_of(side)?, c.space(View::All)?, c.asked().axes);
    let shape = space.shape().with_trajectories(space.trajectories());
    let d = Split { shape, kept }.count(true);
    estimate::require_marginal(d)?;
    let small = Small { numbers: d * d + estimate::symmetric_eigen_len(d, true), ..Small::of(d, 10.0, 0) };
    let (matrix, values, vectors) = space.small(small, |_| {
        let (matrix, d) = estimate::marginal_of(&spectrum.matrix, &spectrum.places, shape, kept);
        let (values, vectors) = estimate::symmetric_eigen(&matrix, d);
        Ok((matrix, values, vectors))
    })?;
    let (trace, square) = values.iter().fold((0.0, 0.0), |(t, s), v| (t + v, s + v * v));
    let rank = if square > 0.0 { trace * trace / square } else { 0.0 };
    let found = Found { value: Some(trace), ..Found::exact(side.method(), spectrum.trace().matvecs) };
    Ok(found.with(arrays(d, matrix, vec![0.0; d * d], values, vectors, (rank, 0.0))))
}

fn sampled<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let kept = c.asked().axes;
    // The same partial traces, without the noise between trajectories, where they are not what is asked for.
    let view = if kept[0] { View::All } else { View::Diagonal };
    let found = estimate::marginal(&c.space(view)?, &c.budget(), kept)?;
    let Marginal { size, matrix, errors, eigenvalues, eigenvectors, effective_rank, trace, .. } = found;
    let all = arrays(size, matrix, errors, eigenvalues, eigenvectors, effective_rank);
    Ok(Found {
        stop: found.stop,
        value: Some(trace.0),
        standard_error: Some(trace.1),
        history: found.history,
        arrays: all,
        ..Found::exact("hutchinson", found.matvecs)
    })
}

fn arrays(
    d: usize,
    matrix: Vec<f64>,
    errors: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
    rank: (f64, f64),
) -> Vec<Named> {
    vec![
        ("matrix", vec![d, d], matrix),
        ("standard_errors", vec![d, d], errors),
        ("eigenvalues", vec![d], values),
        ("modes", vec![d, d], vectors),
        ("effective_rank", vec![], vec![rank.0]),
        ("effective_rank_error", vec![], vec![rank.1]),
    ]
}
