//! A_ii, and the lengths of the rows.

use super::outputs::Dimension::{Time, Trajectory, Unit};
use super::outputs::{Degree, Output, Rounds, HISTORY, INTERVAL_OF_A, PLAIN, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{Context, Facts, Found, History, Operator, Quantity, Reads, Side, Tensor, View, Way};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Diagonal, Estimate, Wanted};

/// A number of every number of the state.
/// Some entries are farther off than all together.
const TWICE: Rounds = Rounds::Relative { times: 2.0, possible: [0.0, f64::INFINITY] };

const ENTRY: Output = Output { dimensions: &[Trajectory, Time, Unit], unit: "A", degree: Degree::Power(1), ..PLAIN };

/// A_ii, and the lengths of the rows.
pub const DIAGONAL: Quantity = Quantity {
    name: "diagonal",
    title: "trace by its diagonal",
    formula: "A_ii, ‖A_i‖",
    about: "How far learning moves each number of the state by itself, and how far all errors together move it.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        Output { meaning: "The trace, the sum of the diagonal.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        INTERVAL_OF_A,
        Output { name: "diagonal", error: Some("diagonal_errors"), rounds: TWICE, meaning: "A_ii.", ..ENTRY },
        Output { name: "diagonal_errors", meaning: "The standard errors of the diagonal.", ..ENTRY },
        Output {
            name: "row_norms",
            error: Some("row_norm_errors"),
            rounds: TWICE,
            meaning: "‖A_i‖ = (Σ_j A_ij²)^½.",
            ..ENTRY
        },
        Output { name: "row_norm_errors", meaning: "The standard errors of the row norms.", ..ENTRY },
        HISTORY,
    ],
    history: History::of_degree(1),
    sampled: true,
    line: Line::Words("a diagonal of trace"),
    rows: &[Row::value("sum of the diagonal")],
    figures: &[Picture::Convergence],
};

/// The methods of a diagonal.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::any, |c: &C| {
            let symmetric = c.asked().operator.symmetric();
            match if symmetric { c.cheapest(Reads::entries(Wanted::Sums))? } else { None } {
                Some(side) => dense(c, side),
                None => sampled(c, symmetric),
            }
        }),
        Way::new("hutchpp", Operator::symmetric, |c: &C| sampled(c, true)),
        Way::new("hutchinson", Operator::any, |c: &C| sampled(c, false)),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, Side::State)).of_matrix(),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    let (spectrum, space) = (c.exact_of(side)?, c.space(View::All)?);
    let found = estimate::diagonal_of(&space, &spectrum.matrix, &spectrum.places)?;
    let trace = Estimate { matvecs: spectrum.trace().matvecs, ..found.trace };
    Ok(all(Diagonal { trace, ..found }, side.method()))
}

fn sampled<C: Context>(c: &C, deflate: bool) -> Result<Found<C::Block>> {
    let found = estimate::diagonal(&c.space(View::All)?, &c.budget(), deflate)?;
    Ok(all(found, if deflate { "hutchpp" } else { "hutchinson" }))
}

fn all<B>(found: Diagonal<B>, method: &'static str) -> Found<B> {
    let Diagonal { diagonal, diagonal_errors, rows, row_errors, trace } = found;
    let named = |name, block| Tensor { name, block, single: true };
    Found {
        tensors: vec![
            named("diagonal", diagonal),
            named("diagonal_errors", diagonal_errors),
            named("row_norms", rows),
            named("row_norm_errors", row_errors),
        ],
        ..Found::of((trace, method))
    }
}
