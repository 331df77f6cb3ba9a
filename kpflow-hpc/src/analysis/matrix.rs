//! The whole matrix.

use super::outputs::Dimension::{State, Time, Trajectory, Unit, Vector};
use super::outputs::{
    Degree, Output, EFFECTIVE_RANK, EIGENVALUES, INTERVAL_OF_A, MATRIX as ENTRIES, PLAIN, STANDARD_ERROR_OF_A,
    VALUE_OF_A,
};
use super::shown::{Line, Picture, Row};
use super::{rows, Asked, Context, Found, Named, Operator, Reads, Side, Tensor, View, Way};
use super::{Facts, History, Part, Quantity};
use crate::closed::{ExactMatrix, MATRIX_LIMIT};
use crate::engine::Real;
use crate::error::{Error, Result};
use kpflow_core::model::Linearization;
use kpflow_estimate::{self as estimate, DenseSpectrum, Small, Space, StopReason, Wanted, DENSE_LIMIT};

/// The whole matrix.
pub const MATRIX: Quantity = Quantity {
    name: "matrix",
    title: "matrix",
    formula: "a_ij",
    about: "Every entry; of ntk and parameter without products, for readouts of up to 30000 numbers.",
    keys: &[],
    whole: false,
    with: None,
    require,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        INTERVAL_OF_A,
        EFFECTIVE_RANK,
        Output {
            dimensions: &[State, State],
            meaning: "The whole, by flat indices (b·T + t)·N + j; beyond 4096 numbers and `[output] parts` MiB there is `rows` in its place.",
            ..ENTRIES
        },
        Output { meaning: "All of them, largest first; beyond 4096 numbers there are none.", ..EIGENVALUES },
        Output {
            name: ROWS,
            dimensions: &[Vector, Trajectory, Time, Unit],
            unit: "A",
            degree: Degree::Power(1),
            meaning: "The whole where `matrix` is too large, row i by its flat index, in the precision of the run.",
            ..PLAIN
        },
        Output {
            name: OTHER,
            dimensions: &[Vector, Trajectory, Time, Unit],
            unit: "A",
            degree: Degree::Power(1),
            meaning: "With `other_inputs` y: A(x, y), row i the state on x for number i, by its flat index, of the state on y.",
            ..PLAIN
        },
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

const ROWS: &str = "rows";
const OTHER: &str = "other";

/// The methods of a matrix.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, auto).of_values(),
        Way::new("exact", Operator::from_weights, exact).requiring(require_exact),
        Way::new("dense", Operator::symmetric, |c: &C| of_side(c, Side::State)).of_values(),
    ]
}

/// Whether [`Context::exact_rows`] has it.
pub(crate) fn has_exact(asked: &Asked) -> bool {
    asked.operator.from_weights() && !asked.average
}

/// The exact matrix of an analysis, on some numbers of every trajectory.
pub(crate) fn made_of<'l, T: Real>(
    asked: &Asked,
    lin: &'l Linearization<'l, T>,
    numbers: &'l [usize],
    trajectories: usize,
) -> ExactMatrix<'l, T> {
    ExactMatrix::new(lin, asked.operator == Operator::Ntk, numbers, trajectories)
}

/// What [`Context::exact_flops`] says.
pub(crate) fn flops<T: Real>(
    asked: &Asked,
    part: &Part,
    lin: &Linearization<'_, T>,
    trajectories: usize,
) -> Option<f64> {
    has_exact(asked).then(|| made_of(asked, lin, &part.numbers(lin.shape()), trajectories).flops())
}

/// Needs a matrix, with rows and columns of zeros behind the ends of trajectories, of a size that is made.
fn require(asked: &Asked, facts: &Facts<'_>) -> Result<()> {
    let (rows, most) = (facts.shape.iter().product(), if has_exact(asked) { MATRIX_LIMIT } else { DENSE_LIMIT });
    match rows > most {
        true => Err(estimate::Error::TooLarge { rows, most, what: TOO_LARGE }.into()),
        false => Ok(()),
    }
}

const TOO_LARGE: &str =
    "the whole matrix; numbers a vector, take a readout, a window or some units, or fewer trajectories";

fn require_exact(asked: &Asked, _: &Facts<'_>) -> Result<()> {
    match has_exact(asked) {
        true => Ok(()),
        false => Err(Error::usage("method = \"exact\" is not for a mean over trajectories; take dense")),
    }
}

fn auto<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let beyond = c.space(View::All)?.len() > DENSE_LIMIT || c.has_other_inputs();
    match beyond && c.exact_flops().is_some() {
        true => exact(c),
        false => of_side(c, c.least(Reads::entries(Wanted::Values), false)?.unwrap_or(Side::State)),
    }
}

fn of_side<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    whole(c, (&*c.exact_of(side)?, side))
}

/// By cotangents, whatever it costs.
fn exact<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let mut found = match c.space(View::All)?.len() <= DENSE_LIMIT {
        true => whole(c, (&rows::spectrum(&c.space(View::All)?, c.exact_rows()?, Wanted::Values)?, Side::Cotangents))?,
        false => by_rows(c)?,
    };
    if c.has_other_inputs() {
        // What is found stays beside what is made.
        let space = c.space(View::All)?;
        let found_numbers = |(name, shape, _): &Named| if *name == ENTRIES.name { shape.iter().product() } else { 0 };
        let _found = space.hold(found.arrays.iter().map(found_numbers).sum());
        let (rows, columns) = c.exact_other_rows()?;
        found.tensors.push(Tensor { name: OTHER, block: c.rows_block(rows, columns)?, single: false });
    }
    Ok(found)
}

/// One that has no decomposition.
fn by_rows<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (own, space) = (c.exact_rows()?, c.space(View::All)?);
    let size = rows::size(&space);
    let held = space.hold(space.shape().len() * size);
    let [trace, square] = rows::sums(&space, &own);
    let rank = if square > 0.0 { trace * trace / square } else { 0.0 };
    let mut found = Found { value: Some(trace), ..Found::exact("exact", 0) };
    if !square.is_finite() {
        return Ok(Found { stop: StopReason::Overflow, ..found });
    }
    found.arrays = vec![("effective_rank", vec![], vec![rank])];
    if !c.keeps_whole(8 * size * size) {
        drop(held);
        found.tensors.push(Tensor { name: ROWS, block: c.rows_block(own, size)?, single: false });
        return Ok(found);
    }
    let (all, _all) = rows::gathered(&space, own, held);
    let places = space.places();
    let more = if places.len() == size { 0 } else { size * size };
    let matrix = space.small(Small { flops: 0.0, numbers: more }, |_| {
        Ok(if places.len() == size { all } else { estimate::spread(&all, &places, size) })
    })?;
    found.arrays.push(("matrix", vec![size, size], matrix));
    Ok(found)
}

fn whole<C: Context>(c: &C, (spectrum, side): (&DenseSpectrum, Side)) -> Result<Found<C::Block>> {
    if c.has_other_inputs() && side != Side::Cotangents {
        let what = "other_inputs is for method = \"exact\", of ntk and parameter";
        return Err(Error::usage(format!("{what}; without it there is no matrix between two sets of inputs")));
    }
    let space = c.space(View::All)?;
    // With rows and columns of zeros behind the ends of trajectories.
    let size = rows::size(&space);
    let small = Small { flops: 0.0, numbers: 2 * size * size };
    let matrix = space.small(small, |_| Ok(spectrum.whole(size)))?;
    let found = Found { history: Vec::new(), ..Found::of((spectrum.trace(), side.method())) };
    Ok(found.with(vec![
        ("matrix", vec![size, size], matrix),
        ("eigenvalues", vec![spectrum.values.len()], spectrum.values.clone()),
        ("effective_rank", vec![], vec![spectrum.effective_rank().value]),
    ]))
}
