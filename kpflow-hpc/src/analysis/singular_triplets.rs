//! The largest singular values, their residuals and, if asked, vectors.

use super::keys::{COUNT, VECTORS};
use super::outputs::Dimension::{Mode, Time, Trajectory, Unit};
use super::outputs::{Compared, Output, EIGENVALUES, HISTORY_OF_PAIRS, PLAIN, RESIDUALS};
use super::shown::{Line, Number, Picture, Row};
use super::{Context, Found, Operator, Tensor, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Triplets};

const VALUES: &str = "singular_values";

const VECTORS_OF_EACH: Output =
    Output { dimensions: &[Mode, Trajectory, Time, Unit], asked: Some(VECTORS.name), ..PLAIN };

/// The largest singular values, their residuals and, if asked, vectors.
pub const SINGULAR_TRIPLETS: Quantity = Quantity {
    name: "singular_triplets",
    title: "singular triplets",
    formula: "A v = σ u, Aᵀ u = σ v",
    about: "The leading singular values of propagator and constraint, which are not symmetric.",
    keys: &[&COUNT, &VECTORS],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        Output { name: VALUES, compared: Compared::Spectrum('σ'), ..EIGENVALUES },
        Output { like: Some(VALUES), meaning: "‖A v − σ u‖ / σ_1, measured by one more product.", ..RESIDUALS },
        Output { name: "left_vectors", meaning: "u, of length 1.", ..VECTORS_OF_EACH },
        Output { name: "right_vectors", meaning: "v, of length 1.", ..VECTORS_OF_EACH },
        HISTORY_OF_PAIRS,
    ],
    history: History::Residuals,
    sampled: false,
    line: Line::Leading(VALUES),
    rows: &[Row { what: "σ₁", of: VALUES, number: Number::First }],
    figures: &[Picture::Spectrum { values: VALUES, word: "singular value" }, Picture::Residuals, Picture::Convergence],
};

/// The methods of singular triplets.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![Way::new("auto", Operator::skew, found), Way::new("block_krylov", Operator::skew, found)]
}

/// The largest `count`.
pub(super) fn iterate<C: Context>(c: &C, count: usize) -> Result<Triplets<C::Block>> {
    let [gram, forward, adjoint] = [c.space(View::Gram)?, c.space(View::Plain)?, c.space(View::Adjoint)?];
    Ok(estimate::singular_triplets(&gram, &forward, &adjoint, &c.budget(), count)?)
}

fn found<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let found = iterate(c, c.asked().count)?;
    let k = found.values.len();
    let tensor = |name, block| Tensor { name, block, single: false };
    let kept = vec![tensor("left_vectors", found.left), tensor("right_vectors", found.right)];
    Ok(Found {
        stop: found.stop,
        standard_error: None,
        history: found.history,
        arrays: vec![("singular_values", vec![k], found.values), (RESIDUALS.name, vec![k], found.residuals)],
        tensors: if c.asked().vectors { kept } else { Vec::new() },
        ..Found::exact("block_krylov", found.matvecs)
    })
}
