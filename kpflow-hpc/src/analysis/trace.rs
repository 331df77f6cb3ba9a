//! tr A.

use super::keys::SIDE;
use super::outputs::{HISTORY, INTERVAL_OF_A, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{of_closed, sampled, scaled, Chosen, Context, Form, Found, Operator, Reads, View, Way};
use super::{Facts, History, Quantity};
use crate::error::{Error, Result};
use kpflow_estimate::{self as estimate, Budget, Estimate, Exact, StopReason, Wanted};

/// tr A.
pub const TRACE: Quantity = Quantity {
    name: "trace",
    title: "trace",
    formula: "tr A",
    about: "The sum of the eigenvalues: how far learning moves the state in all.",
    keys: &[&SIDE],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[VALUE_OF_A, STANDARD_ERROR_OF_A, INTERVAL_OF_A, HISTORY],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("trace")],
    figures: &[Picture::OverStages { place: 3, reading: "" }, Picture::Convergence],
};

/// The methods of a trace.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| auto(c, c.budget()).map(Found::of)),
        Way::new("exact", has_closed, |c: &C| Ok(Found::of((exact(c)?, "exact")).plain()))
            .of_all()
            .requiring(of_closed),
        Way::new("per_trajectory", has_closed, |c: &C| {
            sampled("per_trajectory", estimate::per_trajectory(&c.space(View::Diagonal)?, &c.budget()))
        })
        .of_trajectories(),
        Way::new("per_trajectory_xnystrace", has_closed, |c: &C| {
            let found = estimate::per_trajectory_xnystrace(&c.space(View::Diagonal)?, &c.budget());
            sampled("per_trajectory_xnystrace", found)
        })
        .of_trajectories(),
        Way::new("hutchinson", Operator::symmetric, |c: &C| {
            sampled("hutchinson", estimate::hutchinson(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("hutchpp", Operator::symmetric, |c: &C| {
            sampled("hutchpp", estimate::hutchpp(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("nystrompp", Operator::symmetric, |c: &C| {
            sampled("nystrompp", estimate::nystrompp(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("xtrace", Operator::symmetric, |c: &C| {
            sampled("xtrace", estimate::xtrace(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("xnystrace", Operator::symmetric, |c: &C| {
            sampled("xnystrace", estimate::xnystrace(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("one_sided", Operator::has_factor, |c: &C| {
            let view = if c.asked().forward { View::Forward } else { View::Back };
            sampled("one_sided", estimate::one_sided(&c.space(view)?, &c.budget()))
        })
        .of_all(),
        Way::new("dense", Operator::symmetric, |c: &C| Ok(Found::of((c.exact_of(c.side()?)?.trace(), "dense"))))
            .of_spectrum(Wanted::Sums),
    ]
}

fn has_closed(operator: Operator) -> bool {
    operator.about().closed.is_some()
}

/// The closed form, of A itself.
fn exact<C: Context>(c: &C) -> Result<Estimate> {
    match c.asked().operator.about().closed {
        Some(form) => c.closed(Form::Trace(form)),
        None => Err(Error::usage("method = \"exact\" is for operators that have a closed form")),
    }
}

/// The best of those there are: of 2^-k A, whatever makes it.
pub(super) fn auto<C: Context>(c: &C, budget: Budget) -> Result<Chosen> {
    let asked = c.asked();
    let form = asked.operator.about().closed.map(Form::Trace);
    let flops = form.filter(|_| asked.whole).and_then(|form| c.closed_flops(form));
    // P has no Kronecker core between its sweeps, but costs of the same order.
    let products = flops.map(|flops| flops / c.product_flops());
    let scaled = || -> Result<Estimate> { Ok(scaled(exact(c)?, -c.exponent()?)) };
    if products.is_some_and(|p| p <= 1.0) {
        return Ok((scaled()?, "exact"));
    }
    if let Some(side) = c.cheapest(Reads::spectrum(Wanted::Sums))? {
        // One that no other reads is not made where the closed form is cheaper.
        let (readers, _) = asked.readers.of(side, c.side()?);
        let making = c.making(side)?.unwrap_or(f64::INFINITY);
        if readers == 1 && flops.is_some_and(|flops| flops <= making) {
            return Ok((scaled()?, "exact"));
        }
        return Ok((c.exact_of(side)?.trace(), side.method()));
    }
    if form.is_none() || asked.average {
        return Ok((estimate::xnystrace(&c.space(View::All)?, &budget)?, "xnystrace"));
    }
    let run = || scaled().map_err(Into::into);
    let exact = products.map(|products| Exact { products, run: &run });
    let found = estimate::auto(&c.space(View::Diagonal)?, &budget, exact)?;
    let method = match found.stop {
        StopReason::Exact => "exact",
        StopReason::Tolerance | StopReason::Budget | StopReason::Stagnated | StopReason::Overflow => {
            "per_trajectory_xnystrace"
        }
    };
    Ok((found, method))
}
