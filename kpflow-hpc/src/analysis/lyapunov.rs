//! Lyapunov exponents.

use super::outputs::Dimension::{Trajectory, Unit};
use super::outputs::{Compared, Output, INTERVAL, PLAIN, STANDARD_ERROR, VALUE};
use super::shown::{Line, Picture, Row};
use super::{Context, Found, Operator, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;

/// The exponents.
pub const EXPONENTS: Output = Output {
    name: "exponents",
    dimensions: &[Trajectory, Unit],
    unit: "1/step",
    compared: Compared::Estimate,
    meaning: "Largest first within a trajectory; −inf for a direction that is lost altogether.",
    ..PLAIN
};

/// Lyapunov exponents.
pub const LYAPUNOV: Quantity = Quantity {
    name: "lyapunov",
    title: "largest Lyapunov exponent",
    formula: "log|diag R| / (T−1), QR = A_{T−1} … A_1",
    about: "How fast neighbouring states part, a step: above 0 they do, below 0 they meet.",
    keys: &[],
    whole: true,
    with: None,
    require: Facts::recurrence,
    outputs: &[
        Output {
            unit: "1/step",
            meaning: "The mean over trajectories of the largest exponent; −inf if a trajectory loses all directions.",
            ..VALUE
        },
        STANDARD_ERROR,
        INTERVAL,
        EXPONENTS,
    ],
    history: History::of_degree(0),
    sampled: false,
    line: Line::Value,
    rows: &[Row::value("largest Lyapunov exponent")],
    figures: &[Picture::OverStages { place: 8, reading: "" }, Picture::Exponents],
};

/// The methods of Lyapunov exponents.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![Way::new("auto", Operator::symmetric, all), Way::new("exact", Operator::symmetric, all)]
}

fn all<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let ([b, _, n], all) = (c.shape(), c.lyapunov()?);
    let value = all.chunks(n.max(1)).map(|x| x[0]).sum::<f64>() / b as f64;
    let found = Found { value: Some(value), ..Found::exact("exact", 0) };
    Ok(found.plain().with(vec![("exponents", vec![b, n], all)]))
}
