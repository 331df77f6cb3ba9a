//! ⟨A, B⟩ / (‖A‖‖B‖).

use super::keys::WITH;
use super::outputs::{Output, Rounds, HISTORY, INTERVAL, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{Context, Found, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity, With};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Estimate, Space, Wanted};

/// ⟨A, B⟩ / (‖A‖‖B‖).
pub const ALIGNMENT: Quantity = Quantity {
    name: "alignment",
    title: "alignment",
    formula: "⟨A, B⟩_F / (‖A‖_F ‖B‖_F)",
    about: "How alike the operator is to that of other weights: 1 where they are the same up to a factor.",
    keys: &[&WITH],
    whole: true,
    with: Some(With::Weights),
    require: Facts::nothing,
    outputs: &[
        Output { rounds: Rounds::Relative { times: 2.0, possible: [-1.0, 1.0] }, ..VALUE },
        STANDARD_ERROR,
        INTERVAL,
        HISTORY,
    ],
    history: History::of_degree(0),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("alignment")],
    figures: &[Picture::BetweenStages, Picture::Convergence],
};

/// The methods of an alignment.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| {
            // The other model's matrix is made of products.
            match c.affords(c.side()?, Reads::spectrum(Wanted::Sums))? {
                true => dense(c),
                false => sampled(c, true),
            }
        }),
        Way::new("hutchpp", Operator::symmetric, |c: &C| sampled(c, true)),
        Way::new("hutchinson", Operator::symmetric, |c: &C| sampled(c, false)),
        Way::new("one_sided", Operator::has_factor, |c: &C| {
            let (a, b) = (c.space(View::Back)?, c.space(View::OtherBack)?);
            super::sampled("one_sided", estimate::pair_alignment(&a, &b, &c.budget()))
        })
        .of_all(),
        Way::new("dense", Operator::symmetric, dense).of_spectrum(Wanted::Sums),
    ]
}

fn dense<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (side, own) = (c.side()?, c.exact_of(c.side()?)?);
    if side == Side::Weights {
        let (back, theirs) = (c.space(View::Back)?, [c.space(View::OtherForward)?, c.space(View::OtherBack)?]);
        let found = estimate::alignment_of_factors(&own, &back, &theirs[0], &theirs[1])?;
        return Ok(Found::of((found, "dense")));
    }
    let other = c.space(View::Other)?;
    let theirs = estimate::dense(&other, Wanted::Sums)?;
    let inner: f64 = own.matrix.iter().zip(&theirs.matrix).map(|(x, y)| x * y).sum();
    let norms = own.frobenius().value * theirs.frobenius().value;
    let value = if norms > 0.0 { inner / norms } else { 0.0 };
    Ok(Found::of((Estimate::exact(value, other.len()), "dense")))
}

fn sampled<C: Context>(c: &C, deflate: bool) -> Result<Found<C::Block>> {
    let (a, b) = (c.space(View::All)?, c.space(View::Other)?);
    let found = estimate::alignment(&a, &b, &c.budget(), deflate);
    super::sampled(if deflate { "hutchpp" } else { "hutchinson" }, found)
}
