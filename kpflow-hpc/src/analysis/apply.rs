//! A x, of the user's own vectors.

use super::keys::{self, Key, WITH};
use super::outputs::Dimension::{Time, Trajectory, Unit, Vector};
use super::outputs::{Degree, Output, Rounds, INTERVAL, PLAIN, STANDARD_ERROR, VALUE};
use super::shown::{Line, Row};
use super::{Context, Facts, Found, History, Operator, Quantity, Tensor, View, Way, With};
use crate::error::Result;
use kpflow_estimate::{Block, Estimate, Space};

/// Whether the adjoint is applied.
const ADJOINT: Key = Key { name: "adjoint", about: "Aᵀ x in place of A x, where A is not symmetric.", ..keys::PLAIN };

/// A x, of the user's own vectors.
pub const APPLY: Quantity = Quantity {
    name: "apply",
    title: "length of the product",
    formula: "A x",
    about: "What the operator makes of a vector: how the state moves along a given error signal, say.",
    keys: &[&WITH, &ADJOINT],
    whole: true,
    with: Some(With::Vectors),
    require: Facts::nothing,
    outputs: &[
        Output { unit: "A x", rounds: Rounds::AS_PRODUCTS, meaning: "‖A x‖, over all vectors together.", ..VALUE },
        STANDARD_ERROR,
        INTERVAL,
        Output {
            name: "product",
            dimensions: &[Vector, Trajectory, Time, Unit],
            unit: "A x",
            degree: Degree::Power(0),
            meaning: "A x, or Aᵀ x; [B, T, N] where x is.",
            ..PLAIN
        },
    ],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Words("a product of length"),
    rows: &[Row::value("length of the product")],
    figures: &[],
};

/// The methods of a product.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![Way::new("auto", Operator::acts_on_state, product), Way::new("exact", Operator::acts_on_state, product)]
}

/// ‖y‖ over all vectors together, also where its square is no number.
fn length<S: Space>(space: &S, y: &S::Block) -> Result<f64> {
    let square: f64 = space.dots(y, y)?.iter().sum();
    if (1e-200..1e200).contains(&square) {
        return Ok(square.sqrt());
    }
    // Of numbers this far from 1 those that the scale loses are nothing beside the others. What is not finite stays so.
    let scale = 2f64.powi(if square < 1.0 { 500 } else { -500 });
    let mut scaled = 0.0;
    for v in 0..y.vectors() {
        let mut one = space.columns(y, v..v + 1);
        space.scale(&mut one, &[scale]);
        scaled += space.dots(&one, &one)?.iter().sum::<f64>();
    }
    Ok(scaled.sqrt() / scale)
}

fn product<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (x, single) = c.vectors()?;
    // As it is: what leaves the range is the product itself.
    let adjoint = c.asked().says(&ADJOINT) && c.asked().operator.skew();
    let space = c.space(if adjoint { View::RawAdjoint } else { View::Raw })?;
    let y = space.apply(&x)?;
    let length = length(&space, &y)?;
    let found = Found::of((Estimate::exact(length, x.vectors()), "exact")).plain();
    Ok(Found { tensors: vec![Tensor { name: "product", block: y, single }], history: Vec::new(), ..found })
}
