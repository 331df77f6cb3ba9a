//! ‖A‖_F.

use super::outputs::{HISTORY, INTERVAL_OF_A, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{of_closed, sampled, scaled, Chosen, Context, Form, Found, Operator, Reads, View, Way};
use super::{Facts, History, Quantity};
use crate::closed::Closed;
use crate::error::Result;
use kpflow_estimate::{self as estimate, Budget, Estimate, SecondMoment, Space, Wanted};

/// ‖A‖_F.
pub const FROBENIUS: Quantity = Quantity {
    name: "frobenius",
    title: "Frobenius norm",
    formula: "‖A‖_F = √(Σ a_ij²)",
    about: "The root of the sum of the squared singular values.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[VALUE_OF_A, STANDARD_ERROR_OF_A, INTERVAL_OF_A, HISTORY],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Value,
    rows: &[Row::value("Frobenius norm")],
    figures: &[Picture::OverStages { place: 4, reading: "" }, Picture::Convergence],
};

/// The methods of a Frobenius norm.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::any, |c: &C| auto(c, c.budget()).map(Found::of)),
        Way::new(
            "exact",
            |o| o == Operator::Parameter,
            |c: &C| Ok(Found::of((c.closed(Form::Frobenius)?, "exact")).plain()),
        )
        .of_all()
        .requiring(of_closed),
        Way::new("hutchpp", Operator::symmetric, |c: &C| {
            sampled("hutchpp", estimate::frobenius_deflated(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("hutchinson", Operator::any, |c: &C| {
            sampled("hutchinson", estimate::frobenius(&c.space(View::All)?, &c.budget()))
        }),
        Way::new("one_sided", Operator::has_factor, |c: &C| {
            let found = estimate::pair_statistic(&c.space(View::Back)?, &c.budget(), SecondMoment::Frobenius);
            sampled("one_sided", found)
        })
        .of_all(),
        Way::new("dense", Operator::symmetric, |c: &C| Ok(Found::of((c.exact_of(c.side()?)?.frobenius(), "dense"))))
            .of_spectrum(Wanted::Sums),
    ]
}

/// The best of those there are: of 2^-k A, whatever makes it.
pub(super) fn auto<C: Context>(c: &C, budget: Budget) -> Result<Chosen> {
    let (asked, affordable) = (c.asked(), c.budget().max_matvecs as f64 * c.product_flops());
    let worth = |form: Form| asked.whole && c.closed_flops(form).is_some_and(|flops| flops <= affordable);
    match asked.operator {
        Operator::Parameter if worth(Form::Frobenius) => {
            return Ok((scaled(c.closed(Form::Frobenius)?, -c.exponent()?), "exact"));
        }
        Operator::Propagator if worth(Form::Trace(Closed::PropagatorGram)) => {
            // ‖P‖_F² = tr P Pᵀ. Where the square leaves the range, the norm itself need not.
            let square = c.closed(Form::Trace(Closed::PropagatorGram))?.value;
            let space = c.space(View::All)?;
            if space.may_stop(&budget, square.is_finite()) {
                return Ok((scaled(Estimate::exact(square.sqrt(), 0), -c.exponent()?), "exact"));
            }
            // Without numbers the products are counted, and the name is that of what nearly always comes out.
            let method = if square.is_finite() { "exact" } else { "hutchinson" };
            return Ok((estimate::frobenius(&space, &budget)?, method));
        }
        Operator::Ntk
        | Operator::Parameter
        | Operator::PropagatorGram
        | Operator::Core
        | Operator::Propagator
        | Operator::Constraint => {}
    }
    if asked.operator.skew() {
        return Ok((estimate::frobenius(&c.space(View::All)?, &budget)?, "hutchinson"));
    }
    if let Some(side) = c.cheapest(Reads::spectrum(Wanted::Sums))? {
        return Ok((c.exact_of(side)?.frobenius(), side.method()));
    }
    Ok((estimate::frobenius_deflated(&c.space(View::All)?, &budget)?, "hutchpp"))
}
