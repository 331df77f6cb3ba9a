//! ‖A‖, the largest |λ| or singular value.

use super::outputs::{Output, Rounds, HISTORY, INTERVAL_OF_A, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{eigenpairs, singular_triplets, Context, Found, Operator, Reads, Side, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{Eigenpairs, Estimate, StopReason, Triplets, Wanted};

/// ‖A‖, the largest |λ| or singular value.
pub const NORM: Quantity = Quantity {
    name: "norm",
    title: "spectral norm",
    formula: "‖A‖ = max ‖A x‖ / ‖x‖",
    about: "The largest eigenvalue; of propagator and constraint the largest singular value.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        Output { rounds: Rounds::AS_ONE_MODE, ..VALUE_OF_A },
        Output { meaning: "The bound of its error by the residual.", ..STANDARD_ERROR_OF_A },
        INTERVAL_OF_A,
        Output { meaning: "matvecs, value and the bound of its error as the estimate converged.", ..HISTORY },
    ],
    history: History::Bound,
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("spectral norm")],
    figures: &[Picture::OverStages { place: 5, reading: "" }, Picture::Convergence],
};

/// The methods of a norm.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::any, |c: &C| {
            let reads = Reads::spectrum(Wanted::Values);
            match if c.asked().operator.symmetric() { c.cheapest(reads)? } else { None } {
                Some(side) => dense(c, side),
                None => iterated(c),
            }
        }),
        Way::new("block_krylov", Operator::any, iterated),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Values),
    ]
}

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    Ok(Found::of((c.exact_of(side)?.norm(), side.method())))
}

fn iterated<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let found = match c.asked().operator.symmetric() {
        true => of_pairs(eigenpairs::iterate(c, 1, c.budget())?),
        // The norm of any operator is its largest singular value.
        false => {
            let found = singular_triplets::iterate(c, 1)?;
            let (value, residual) = leading(&found.values, &found.residuals);
            let Triplets { matvecs, stop, history, .. } = found;
            bounded(value, residual, matvecs, stop, history)
        }
    };
    Ok(Found::of((found, "block_krylov")))
}

/// A norm is not below 0, whatever its residual allows.
fn bounded(value: f64, residual: f64, matvecs: usize, stop: StopReason, history: Vec<[f64; 3]>) -> Estimate {
    Estimate::bounded(value, value * residual, matvecs, stop, history).clamped(0.0, f64::INFINITY)
}

fn leading(values: &[f64], residuals: &[f64]) -> (f64, f64) {
    (values.first().copied().unwrap_or(0.0), residuals.first().copied().unwrap_or(f64::INFINITY))
}

/// The norm of a positive semidefinite operator is its largest eigenvalue, and its residual a bound of the error.
pub(super) fn of_pairs<B>(pairs: Eigenpairs<B>) -> Estimate {
    let (value, residual) = leading(&pairs.values, &pairs.residuals);
    let Eigenpairs { matvecs, stop, history, .. } = pairs;
    let history = history.into_iter().map(|h| [h[0], h[1], h[1] * h[2]]).collect();
    bounded(value, residual, matvecs, stop, history)
}
