//! The largest eigenvalues, the smallest, or those nearest to a number; their residuals and, if asked, vectors.

use super::keys::{COUNT, NEAR, VECTORS, WHICH};
use super::outputs::Dimension::{Mode, Time, Trajectory, Unit};
use super::outputs::{Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS};
use super::shown::{Line, Number, Picture, Row};
use super::{Asked, Context, Found, Operator, Reads, Side, Tensor, View, Way};
use super::{Facts, History, Quantity};
use crate::error::{Error, Result};
use kpflow_estimate::{self as estimate, times_power, Budget, Eigenpairs, Selection, Wanted, Which};

/// Eigenvalues, their residuals and, if asked, vectors.
pub const EIGENPAIRS: Quantity = Quantity {
    name: "eigenpairs",
    title: "eigenpairs",
    formula: "A v = λ v",
    about: "The leading modes: the directions in which learning moves the state most, and how far.",
    keys: &[&COUNT, &WHICH, &NEAR, &VECTORS],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        EIGENVALUES,
        Output {
            meaning: "‖A v − λ v‖ / λ_1, measured; of an exact matrix without vectors what rounding leaves open. With `which = \"smallest\"` and `near` by the largest that is listed.",
            ..RESIDUALS
        },
        Output {
            name: "eigenvectors",
            dimensions: &[Mode, Trajectory, Time, Unit],
            asked: Some(VECTORS.name),
            meaning: "Of length 1.",
            ..PLAIN
        },
        HISTORY_OF_PAIRS,
    ],
    history: History::Residuals,
    sampled: false,
    line: Line::Leading(EIGENVALUES.name),
    rows: &[Row { what: "largest eigenvalue listed", of: EIGENVALUES.name, number: Number::First }],
    figures: &[
        Picture::Spectrum { values: EIGENVALUES.name, word: "eigenvalue" },
        Picture::Energy { all: false },
        Picture::Residuals,
        Picture::Convergence,
    ],
};

/// The methods of eigenpairs.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| {
            best(c, c.asked().vectors).and_then(|(pairs, method)| found(c, pairs, method))
        }),
        Way::new("block_krylov", Operator::symmetric, |c: &C| {
            found(c, iterate(c, c.asked().count, c.budget())?, "block_krylov")
        })
        .requiring(largest),
        Way::new("dense", Operator::symmetric, |c: &C| found(c, dense(c, c.side()?, c.asked().vectors)?, "dense"))
            .of_spectrum(Wanted::Values),
    ]
}

/// Needs that the largest are asked for.
fn largest(asked: &Asked, _: &Facts) -> Result<()> {
    match asked.which {
        Which::Largest => Ok(()),
        Which::Smallest | Which::Near(_) => {
            let what = "method = \"block_krylov\" finds the largest eigenvalues";
            Err(Error::usage(format!("{what}; which = \"smallest\" and near are for method = \"dense\"")))
        }
    }
}

/// The pairs that are asked for, by the best way; of an exact matrix without vectors unless they are.
pub(super) fn best<C: Context>(c: &C, vectors: bool) -> Result<(Eigenpairs<C::Block>, &'static str)> {
    let wanted = if vectors { Wanted::Vectors } else { Wanted::Values };
    match (c.cheapest(Reads::spectrum(wanted))?, c.asked().which) {
        (Some(side), _) => Ok((dense(c, side, vectors)?, side.method())),
        (None, Which::Largest) => Ok((iterate(c, c.asked().count, c.budget())?, "block_krylov")),
        (None, Which::Smallest | Which::Near(_)) => {
            let (rows, most) = (c.rows_of(c.side()?)?.unwrap_or(0), c.budget().max_matvecs);
            let what = format!("which = \"smallest\" and near need the exact matrix, of {rows} rows");
            let instead = "more max_matvecs, or method = \"dense\", make it";
            Err(Error::usage(format!("{what}, which is not cheap beside max_matvecs = {most}; {instead}")))
        }
    }
}

/// The pairs that are asked for, of the smaller matrix.
pub(super) fn dense<C: Context>(c: &C, side: Side, vectors: bool) -> Result<Eigenpairs<C::Block>> {
    let (spectrum, space, asked, k) = (c.exact_of(side)?, c.space(View::All)?, c.asked(), c.exponent()?);
    let which = match asked.which {
        Which::Near(x) => Which::Near(times_power(x, -k)),
        other @ (Which::Largest | Which::Smallest) => other,
    };
    let chosen = Selection { which, count: asked.count, delta: c.delta() };
    let forward = match side {
        Side::Weights if vectors => Some(c.space(View::Forward)?),
        Side::Weights | Side::State | Side::Cotangents => None,
    };
    match vectors {
        true => Ok(spectrum.eigenpairs(&space, forward.as_ref(), chosen)?),
        false => Ok(spectrum.eigenvalues(&space, chosen)),
    }
}

/// The largest `count`, by block Krylov iteration.
pub(super) fn iterate<C: Context>(c: &C, count: usize, budget: Budget) -> Result<Eigenpairs<C::Block>> {
    Ok(estimate::block_krylov(&c.space(View::All)?, &budget, count)?)
}

fn found<C: Context>(c: &C, pairs: Eigenpairs<C::Block>, method: &'static str) -> Result<Found<C::Block>> {
    let k = pairs.values.len();
    Ok(Found {
        stop: pairs.stop,
        standard_error: None,
        history: pairs.history,
        arrays: vec![(EIGENVALUES.name, vec![k], pairs.values), (RESIDUALS.name, vec![k], pairs.residuals)],
        tensors: if c.asked().vectors {
            vec![Tensor { name: "eigenvectors", block: pairs.vectors, single: false }]
        } else {
            Vec::new()
        },
        ..Found::exact(method, pairs.matvecs)
    })
}
