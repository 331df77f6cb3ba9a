//! bᵀ (A + σ²)⁻¹ b, and the solutions x = (A + σ²)⁻¹ b, of the user's own vectors b.

use super::keys::{NOISE, WITH};
use super::outputs::Dimension::{End, Time, Trajectory, Unit, Vector};
use super::outputs::{Degree, Output, Rounds, HISTORY, INTERVAL, PLAIN, RESIDUALS, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{Context, Facts, Found, History, Operator, Quantity, Reads, Side, Tensor, View, Way, With};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Block, Noise, Solution, Wanted};

/// What has the inverse of the operator as a factor.
const INVERSE: Output = Output { unit: "b²/A", degree: Degree::Power(-1), ..PLAIN };

const FORMS: &str = "forms";
const FORM_INTERVALS: &str = "form_intervals";
const ERROR_BOUNDS: &str = "error_bounds";

/// bᵀ (A + σ²)⁻¹ b.
pub const SOLVE: Quantity = Quantity {
    name: "solve",
    title: "quadratic form of the inverse",
    formula: "bᵀ (A + σ²)⁻¹ b",
    about: "What kernel regression with noise of variance σ² makes of b: its weights x = (A + σ²)⁻¹ b, and how unlikely b is.",
    keys: &[&WITH, &NOISE],
    whole: true,
    with: Some(With::Vectors),
    require: Facts::nothing,
    outputs: &[
        Output { unit: "b²/A", degree: Degree::Power(-1), meaning: "bᵀx + xᵀr, r what x leaves of b, summed over all vectors b.", ..VALUE },
        Output {
            unit: "b²/A",
            degree: Degree::Power(-1),
            meaning: "The wider half of the interval, by 1.96: a bound.",
            ..STANDARD_ERROR
        },
        Output {
            unit: "b²/A",
            degree: Degree::Power(-1),
            meaning: "Between which it is, by the residuals: from the value to ‖r‖²/σ² more, with what rounding may hide.",
            ..INTERVAL
        },
        Output { name: FORMS, dimensions: &[Vector], meaning: "bᵀx + xᵀr of each vector.", ..INVERSE },
        Output { name: FORM_INTERVALS, dimensions: &[Vector, End], meaning: "Between which each is.", ..INVERSE },
        Output {
            name: "solution",
            dimensions: &[Vector, Trajectory, Time, Unit],
            unit: "b/A",
            meaning: "x; [B, T, N] where b is.",
            ..INVERSE
        },
        Output {
            dimensions: &[Vector],
            like: Some(FORMS),
            meaning: "‖b − (A + σ²) x‖ / ‖b‖ of each, by a product with the x that is written.",
            rounds: Rounds::Residual,
            ..RESIDUALS
        },
        Output {
            name: ERROR_BOUNDS,
            dimensions: &[Vector],
            unit: "b/A",
            meaning: "‖x − x*‖ is at most this: the residual by σ², with what rounding may hide.",
            ..INVERSE
        },
        Output { meaning: "matvecs, the value and the largest residual as it converged.", ..HISTORY },
    ],
    history: History::Solve,
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("bᵀ (A + σ²)⁻¹ b")],
    figures: &[Picture::Convergence],
};

/// The methods of a solve.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    let fits = |operator: Operator| operator.symmetric() && operator.acts_on_state();
    vec![
        // Of a matrix whose rows no process has all of the sums are not enough.
        Way::new("auto", fits, |c: &C| match c.cheapest(Reads::spectrum(Wanted::Values))? {
            Some(side) => dense(c, side),
            None => cg(c),
        }),
        Way::new("cg", fits, cg),
        Way::new("dense", fits, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Sums),
    ]
}

fn noise<C: Context>(c: &C) -> Result<Noise> {
    Ok(Noise { variance: c.asked().noise, exponent: c.exponent()?, delta: c.delta() })
}

/// By conjugate gradients.
fn cg<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (b, single) = c.vectors()?;
    let solution = estimate::solve(&c.space(View::All)?, &c.budget(), &b, noise(c)?)?;
    Ok(found(solution, "cg", single))
}

/// By the exact matrix of a side.
fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    let (spectrum, space) = (c.exact_of(side)?, c.space(View::All)?);
    let (b, single) = c.vectors()?;
    let factor = match side {
        Side::Weights => Some((c.space(View::Back)?, c.space(View::Forward)?)),
        Side::State | Side::Cotangents => None,
    };
    let factor = factor.as_ref().map(|(back, forward)| (back, forward));
    let solution = estimate::solve_by(&space, factor, &spectrum, &c.budget(), &b, noise(c)?)?;
    Ok(found(solution, side.method(), single))
}

fn found<B: Block>(solution: Solution<B>, method: &'static str, single: bool) -> Found<B> {
    let found = Found::of((solution.form(), method));
    let Solution { vectors, residuals, error_bounds, forms, form_intervals, .. } = solution;
    let (m, ends) = (vectors.vectors(), form_intervals.into_iter().flatten().collect());
    Found {
        tensors: vec![Tensor { name: "solution", block: vectors, single }],
        ..found.with(vec![
            (FORMS, vec![m], forms),
            (FORM_INTERVALS, vec![m, 2], ends),
            (RESIDUALS.name, vec![m], residuals),
            (ERROR_BOUNDS, vec![m], error_bounds),
        ])
    }
}
