//! log det(I + A/σ²).

use super::keys::NOISE;
use super::outputs::{Output, Rounds, HISTORY, INTERVAL, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{sampled, Context, Found, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Estimate, Wanted};

/// log det(I + A/σ²).
pub const LOG_DET: Quantity = Quantity {
    name: "log_det",
    title: "log det",
    formula: "log det(I + A/σ²)",
    about:
        "Twice the information that observations with noise of variance σ² have of a Gaussian process of this kernel.",
    keys: &[&NOISE],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[Output { rounds: Rounds::OverNoise { times: 2.0 }, ..VALUE }, STANDARD_ERROR, INTERVAL, HISTORY],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("log det")],
    figures: &[Picture::OverStages { place: 6, reading: "" }, Picture::Convergence],
};

/// The methods of a log-determinant.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| match c.cheapest(Reads::spectrum(Wanted::Values))? {
            Some(side) => dense(c, side),
            None => lanczos(c),
        }),
        Way::new("lanczos", Operator::symmetric, lanczos),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Values),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    let (spectrum, noise) = (c.exact_of(side)?, (c.asked().noise, c.exponent()?));
    let matvecs = spectrum.trace().matvecs;
    Ok(Found::of((Estimate::exact(estimate::log_det_of(&spectrum.values, noise), matvecs), side.method())))
}

fn lanczos<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let noise = (c.asked().noise, c.exponent()?);
    sampled("lanczos", estimate::log_det(&c.space(View::All)?, &c.budget(), noise))
}
