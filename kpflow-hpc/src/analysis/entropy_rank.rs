//! exp(−Σ p log p), p = λ / tr A.

use super::outputs::{HISTORY, INTERVAL, STANDARD_ERROR, VALUE_OF_RANK};
use super::shown::{Line, Picture, Row};
use super::{at_least_one, Context, Found, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Estimate, Wanted};

/// exp(−Σ p log p), p = λ / tr A.
pub const ENTROPY_RANK: Quantity = Quantity {
    name: "entropy_rank",
    title: "entropy rank",
    formula: "exp(−Σ p log p), p = λ / tr A",
    about: "The exponential of the entropy of the eigenvalues' shares of the trace.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[VALUE_OF_RANK, STANDARD_ERROR, INTERVAL, HISTORY],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("entropy rank")],
    figures: &[Picture::OverStages { place: 2, reading: "" }, Picture::Convergence],
};

/// The methods of an entropy rank.
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
    let spectrum = c.exact_of(side)?;
    let matvecs = spectrum.trace().matvecs;
    Ok(Found::of((Estimate::exact(estimate::entropy_rank_of(&spectrum.values), matvecs), side.method())))
}

fn lanczos<C: Context>(c: &C) -> Result<Found<C::Block>> {
    at_least_one((estimate::entropy_rank(&c.space(View::All)?, &c.budget())?, "lanczos"))
}
