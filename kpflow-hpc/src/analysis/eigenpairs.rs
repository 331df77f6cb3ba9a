//! The largest eigenvalues, their residuals and, if asked, vectors.

use super::keys::{COUNT, VECTORS};
use super::outputs::Dimension::{Mode, Time, Trajectory, Unit};
use super::outputs::{Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS};
use super::shown::{Line, Number, Picture, Row};
use super::{Context, Found, Operator, Reads, Side, Tensor, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Budget, Eigenpairs, Wanted};

/// The largest eigenvalues, their residuals and, if asked, vectors.
pub const EIGENPAIRS: Quantity = Quantity {
    name: "eigenpairs",
    title: "eigenpairs",
    formula: "A v = λ v",
    about: "The leading modes: the directions in which learning moves the state most, and how far.",
    keys: &[&COUNT, &VECTORS],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        EIGENVALUES,
        RESIDUALS,
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
    rows: &[Row { what: "λ₁", of: EIGENVALUES.name, number: Number::First }],
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
        }),
        Way::new("dense", Operator::symmetric, |c: &C| found(c, dense(c, c.side()?, c.asked().vectors)?, "dense"))
            .of_spectrum(Wanted::Values),
    ]
}

/// The pairs that are asked for, by the best way; of an exact matrix without vectors unless they are.
pub(super) fn best<C: Context>(c: &C, vectors: bool) -> Result<(Eigenpairs<C::Block>, &'static str)> {
    let wanted = if vectors { Wanted::Vectors } else { Wanted::Values };
    match c.cheapest(Reads::spectrum(wanted))? {
        Some(side) => Ok((dense(c, side, vectors)?, side.method())),
        None => Ok((iterate(c, c.asked().count, c.budget())?, "block_krylov")),
    }
}

/// The pairs that are asked for, of the smaller matrix.
pub(super) fn dense<C: Context>(c: &C, side: Side, vectors: bool) -> Result<Eigenpairs<C::Block>> {
    let (spectrum, space, count) = (c.exact_of(side)?, c.space(View::All)?, c.asked().count);
    let forward = match side {
        Side::Weights if vectors => Some(c.space(View::Forward)?),
        Side::Weights | Side::State | Side::Cotangents => None,
    };
    match vectors {
        true => Ok(spectrum.eigenpairs(&space, forward.as_ref(), count)?),
        false => Ok(spectrum.eigenvalues(&space, count)),
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
