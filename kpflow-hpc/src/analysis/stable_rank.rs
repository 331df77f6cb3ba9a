//! ‖A‖_F² / ‖A‖².

use super::outputs::{Output, Rounds, HISTORY, INTERVAL, STANDARD_ERROR, VALUE_OF_RANK};
use super::shown::{Line, Picture, Row};
use super::{at_least_one, eigenpairs, frobenius, norm, Chosen, Context, Found, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Budget, Wanted};

/// ‖A‖_F² / ‖A‖².
pub const STABLE_RANK: Quantity = Quantity {
    name: "stable_rank",
    title: "stable rank",
    formula: "‖A‖_F² / ‖A‖²",
    about: "How many directions matter as much as the largest one.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[Output { rounds: Rounds::AS_RANK_BY_A_MODE, ..VALUE_OF_RANK }, STANDARD_ERROR, INTERVAL, HISTORY],
    // What is told on the way is of the two norms, one after the other.
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("stable rank")],
    figures: &[Picture::OverStages { place: 1, reading: "" }, Picture::Convergence],
};

/// The methods of a stable rank.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| match c.cheapest(Reads::spectrum(Wanted::Values))? {
            Some(side) => dense(c, side),
            None => by_parts(c, frobenius::auto),
        }),
        Way::new("hutchpp", Operator::symmetric, |c: &C| {
            by_parts(c, |c: &C, budget| Ok((estimate::frobenius_deflated(&c.space(View::All)?, &budget)?, "hutchpp")))
        }),
        Way::new("hutchinson", Operator::symmetric, |c: &C| {
            by_parts(c, |c: &C, budget| Ok((estimate::frobenius(&c.space(View::All)?, &budget)?, "hutchinson")))
        }),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Values),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    at_least_one((c.exact_of(side)?.stable_rank(), side.method()))
}

/// The two norms, each by the best way for it.
fn by_parts<C: Context>(c: &C, norm: impl Fn(&C, Budget) -> Result<Chosen>) -> Result<Found<C::Block>> {
    // A third of the products for the norm, which converges fast and shares the first of them with the sketch.
    let Budget { rtol, max_matvecs } = c.budget();
    let (all, third) = (Budget { rtol: rtol / 8f64.sqrt(), max_matvecs }, max_matvecs.div_ceil(3));
    let largest = norm::of_pairs(eigenpairs::iterate(c, 1, Budget { max_matvecs: third, ..all })?);
    let (frobenius, method) = norm(c, Budget { max_matvecs: max_matvecs - third, ..all })?;
    at_least_one((estimate::stable_rank(&frobenius, &largest, rtol), method))
}
