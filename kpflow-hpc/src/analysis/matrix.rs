//! The whole matrix.

use super::outputs::Dimension::State;
use super::outputs::{Output, EFFECTIVE_RANK, EIGENVALUES, MATRIX as ENTRIES, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{Context, Found, Operator, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Small, Space};

/// The whole matrix.
pub const MATRIX: Quantity = Quantity {
    name: "matrix",
    title: "matrix",
    formula: "a_ij",
    about: "Every entry, for states of a few thousand numbers.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::matrix,
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

/// The methods of a matrix.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, whole).of_values(),
        Way::new("dense", Operator::symmetric, whole).of_values(),
    ]
}

fn whole<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (spectrum, space) = (c.dense()?, c.space(View::All)?);
    // With rows and columns of zeros behind the ends of trajectories.
    let size = space.trajectories() * space.shape().per_trajectory();
    let estimate::DenseSpectrum { values, .. } = &*spectrum;
    let small = Small { flops: 0.0, numbers: 2 * size * size };
    let matrix = space.small(small, |_| Ok(spectrum.whole(size)))?;
    let found = Found { history: Vec::new(), ..Found::of((spectrum.trace(), "dense")) };
    Ok(found.with(vec![
        ("matrix", vec![size, size], matrix),
        ("eigenvalues", vec![values.len()], values.clone()),
        ("effective_rank", vec![], vec![spectrum.effective_rank().value]),
    ]))
}
