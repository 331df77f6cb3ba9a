//! eᵀ A e / (‖e‖² λ_max).

use super::keys::{COUNT, LEARNING_RATE, WITH};
use super::outputs::Dimension::Mode;
use super::outputs::{
    Compared, Degree, Output, Rounds, EIGENVALUES, HISTORY_OF_PAIRS, INTERVAL, PLAIN, RESIDUALS, STANDARD_ERROR, VALUE,
};
use super::shown::{Line, Picture, Row};
use super::{eigenpairs, Context, Found, Operator, Reads, View, Way};
use super::{Facts, History, Quantity, With};
use crate::error::Result;
use kpflow_estimate::{self as estimate, times_power, Block, Budget, Eigenpairs, StopReason, Wanted};

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
    with: Some(With::State),
    require: Facts::nothing,
    outputs: &[
        Output { rounds: Rounds::Relative { times: 2.0, possible: [0.0, 1.0] }, ..VALUE },
        STANDARD_ERROR,
        INTERVAL,
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

/// The methods of a learnability.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| {
            let signal = c.signal()?;
            match c.cheapest(Reads::spectrum(Wanted::Vectors))? {
                Some(side) => found(c, signal, eigenpairs::dense(c, side, true)?, side.method()),
                None => {
                    let pairs = iterate(c, &signal.0)?;
                    found(c, signal, pairs, "block_krylov")
                }
            }
        }),
        Way::new("block_krylov", Operator::symmetric, |c: &C| {
            let signal = c.signal()?;
            let pairs = iterate(c, &signal.0)?;
            found(c, signal, pairs, "block_krylov")
        }),
        Way::new("dense", Operator::symmetric, |c: &C| {
            let signal = c.signal()?;
            found(c, signal, eigenpairs::dense(c, c.side()?, true)?, "dense")
        })
        .of_spectrum(Wanted::Vectors),
    ]
}

/// The pairs, for what the product with the error signal leaves of the budget: one at least.
fn iterate<C: Context>(c: &C, signal: &C::Block) -> Result<Eigenpairs<C::Block>> {
    let budget = c.budget();
    let max_matvecs = budget.max_matvecs.saturating_sub(signal.vectors()).max(1);
    eigenpairs::iterate(c, c.asked().count, Budget { max_matvecs, ..budget })
}

fn found<C: Context>(
    c: &C,
    (e, scale): (C::Block, i32),
    pairs: Eigenpairs<C::Block>,
    method: &'static str,
) -> Result<Found<C::Block>> {
    if pairs.stop == StopReason::Overflow {
        return Ok(Found { stop: pairs.stop, ..Found::exact(method, pairs.matvecs) });
    }
    let found = estimate::learnability(&c.space(View::All)?, &e, &pairs, c.asked().learning_rate)?;
    let k = pairs.values.len();
    let decrease = times_power(found.predicted_decrease, c.exponent()? + 2 * scale);
    Ok(Found {
        stop: pairs.stop,
        value: Some(found.value),
        standard_error: Some(found.standard_error),
        interval: Some(found.interval),
        history: pairs.history,
        arrays: vec![
            (EIGENVALUES.name, vec![k], pairs.values),
            (RESIDUALS.name, vec![k], pairs.residuals),
            ("energies", vec![k], found.energies),
            ("time_constants", vec![k], found.time_constants),
            ("predicted_decrease", vec![], vec![decrease]),
        ],
        ..Found::exact(method, pairs.matvecs + e.vectors())
    })
}
