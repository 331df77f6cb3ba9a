//! tr(A)² / ‖A‖_F².

use super::outputs::{HISTORY, INTERVAL, STANDARD_ERROR, VALUE_OF_RANK};
use super::shown::{Line, Picture, Row};
use super::{
    at_least_one, frobenius, of_closed, scaled, trace, Chosen, Context, Form, Found, Operator, Reads, Side, View, Way,
};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Budget, SecondMoment, StopReason, Wanted};

/// tr(A)² / ‖A‖_F².
pub const EFFECTIVE_RANK: Quantity = Quantity {
    name: "effective_rank",
    title: "effective rank",
    formula: "tr(A)² / ‖A‖_F²",
    about: "The participation ratio of the eigenvalues: in about how many directions learning moves the state.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[VALUE_OF_RANK, STANDARD_ERROR, INTERVAL, HISTORY],
    // Other methods tell of the trace and of the norm, one after the other.
    history: History::Estimate { degree: 1, sampled: 0 },
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("effective rank")],
    figures: &[
        Picture::OverStages {
            place: 0,
            reading: "The effective rank, the squared trace over the squared Frobenius norm, says in about how many \
                      directions learning moves the state.",
        },
        Picture::Convergence,
    ],
};

/// The methods of an effective rank.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| match c.cheapest(Reads::spectrum(Wanted::Sums))? {
            Some(side) => dense(c, side),
            None => by_parts(c, frobenius::auto),
        }),
        Way::new(
            "exact",
            |o| o == Operator::Parameter,
            |c: &C| by_parts(c, |c: &C, _| Ok((scaled(c.closed(Form::Frobenius)?, -c.exponent()?), "exact"))),
        )
        .of_all()
        .requiring(of_closed),
        Way::new("hutchpp", Operator::symmetric, |c: &C| {
            by_parts(c, |c: &C, budget| Ok((estimate::frobenius_deflated(&c.space(View::All)?, &budget)?, "hutchpp")))
        }),
        Way::new("hutchinson", Operator::symmetric, |c: &C| {
            at_least_one((estimate::effective_rank_sampled(&c.space(View::All)?, &c.budget())?, "hutchinson"))
        }),
        Way::new("one_sided", Operator::has_factor, |c: &C| {
            let what = SecondMoment::EffectiveRank;
            at_least_one((estimate::pair_statistic(&c.space(View::Back)?, &c.budget(), what)?, "one_sided"))
        })
        .of_all(),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Sums),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    at_least_one((c.exact_of(side)?.effective_rank(), side.method()))
}

/// The trace and the norm, each by the best way for it.
fn by_parts<C: Context>(c: &C, norm: impl Fn(&C, Budget) -> Result<Chosen>) -> Result<Found<C::Block>> {
    // The rank's relative error is twice its parts': an exact trace leaves all of it, and of the products, to the norm.
    let Budget { rtol, max_matvecs } = c.budget();
    let (all, third) = (Budget { rtol: rtol / 8f64.sqrt(), max_matvecs }, max_matvecs.div_ceil(3));
    let (trace, _) = trace::auto(c, Budget { max_matvecs: third, ..all })?;
    let rest = match trace.stop {
        StopReason::Exact => Budget { rtol: rtol / 2.0, max_matvecs },
        StopReason::Tolerance | StopReason::Budget | StopReason::Stagnated | StopReason::Overflow => {
            Budget { max_matvecs: max_matvecs - third, ..all }
        }
    };
    let (norm, method) = norm(c, rest)?;
    at_least_one((estimate::effective_rank(&trace, &norm, rtol), method))
}
