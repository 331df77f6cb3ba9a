//! The spectral density.

use super::outputs::Dimension::{Grid, LogGrid};
use super::outputs::{
    Compared, Degree, Output, Rounds, HISTORY, INTERVAL, INTERVAL_OF_A, PLAIN, STANDARD_ERROR_OF_A, VALUE_OF_A,
};
use super::shown::{Line, Picture, Row};
use super::{Context, Found, Named, Operator, Reads, Side, View, Way};
use super::{Facts, History, Quantity};
use crate::error::Result;
use kpflow_estimate::{self as estimate, Density, Small, Space, StopReason, Wanted};

/// The points of the curve.
pub const GRID: Output = Output {
    name: "grid",
    dimensions: &[Grid],
    unit: "A",
    degree: Degree::Power(1),
    meaning: "Where the density is told, over λ.",
    ..PLAIN
};

/// The curve.
pub const CURVE: Output = Output {
    name: "density",
    unit: "1/A",
    error: Some("density_errors"),
    like: Some(GRID.name),
    degree: Degree::Power(-1),
    rounds: Rounds::AS_PRODUCTS,
    meaning: "Of the eigenvalues that are not 0, smoothed by Gaussians; its integral is 1.",
    ..GRID
};

/// Its errors.
pub const CURVE_ERRORS: Output = Output {
    name: "density_errors",
    error: None,
    rounds: Rounds::No,
    meaning: "The standard errors of the density.",
    ..CURVE
};

/// The points of the curve over decades.
pub const LOG_GRID: Output = Output {
    name: "log10_grid",
    dimensions: &[LogGrid],
    unit: "log₁₀ A",
    degree: Degree::Log10,
    meaning: "Where the density is told, over log₁₀ λ.",
    ..GRID
};

/// The curve over decades.
pub const LOG_CURVE: Output = Output {
    name: "log10_density",
    unit: "",
    like: Some(LOG_GRID.name),
    degree: Degree::Power(0),
    meaning: "The same density over log₁₀ λ: the share of eigenvalues for each decade.",
    ..LOG_GRID
};

/// How many eigenvalues are 0.
pub const ZERO_MASS: Output = Output {
    name: "zero_mass",
    error: Some(ZERO_MASS_ERROR.name),
    interval: Some(ZERO_MASS_INTERVAL.name),
    compared: Compared::Estimate,
    meaning: "The share of eigenvalues that are 0, an atom: 1 − rank bound / n, or what was found at rounding if that is more.",
    ..PLAIN
};

/// The error of that.
pub const ZERO_MASS_ERROR: Output =
    Output { name: "zero_mass_error", meaning: "The standard error of zero_mass: how much more it may be.", ..PLAIN };

/// The ends of its interval.
pub const ZERO_MASS_INTERVAL: Output = Output {
    name: "zero_mass_interval",
    meaning: "The ends of the 95 % interval of zero_mass: at least 1 − rank bound / n, at most zero_mass_bound.",
    ..INTERVAL
};

/// The width of the Gaussians.
pub const WIDTH: Output = Output {
    name: "width",
    unit: "A",
    degree: Degree::Power(1),
    meaning: "The width of the Gaussians of the density over λ.",
    ..PLAIN
};

/// The spectral density.
pub const DENSITY: Quantity = Quantity {
    name: "density",
    title: "density",
    formula: "Σ δ(λ − λ_i) / n",
    about: "How the eigenvalues are spread.",
    keys: &[],
    whole: false,
    with: None,
    require: Facts::nothing,
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        INTERVAL_OF_A,
        ZERO_MASS,
        ZERO_MASS_ERROR,
        ZERO_MASS_INTERVAL,
        Output {
            name: "zero_mass_bound",
            meaning: "No more than this share can be 0, the sampling error of the bound included.",
            ..PLAIN
        },
        GRID,
        CURVE,
        CURVE_ERRORS,
        WIDTH,
        LOG_GRID,
        LOG_CURVE,
        HISTORY,
    ],
    history: History::of_degree(1),
    sampled: false,
    line: Line::Words("a density of trace"),
    rows: &[Row::value("trace"), Row::scalar("share of eigenvalues that are 0", ZERO_MASS.name)],
    figures: &[Picture::Density, Picture::Convergence],
};

/// The methods of a density.
pub fn ways<C: Context>() -> Vec<Way<C>> {
    vec![
        Way::new("auto", Operator::symmetric, |c: &C| match c.cheapest(Reads::spectrum(Wanted::Values))? {
            Some(side) => dense(c, side),
            None => lanczos(c),
        }),
        Way::new("lanczos", Operator::symmetric, lanczos),
        Way::new("dense", Operator::symmetric, |c: &C| dense(c, c.side()?)).of_spectrum(Wanted::Values),
    ]
}

/// Points of a density.
const POINTS: usize = 401;

fn dense<C: Context>(c: &C, side: Side) -> Result<Found<C::Block>> {
    let (spectrum, space) = (c.exact_of(side)?, c.space(View::All)?);
    // All eigenvalues, and their rule.
    let small = Small { flops: 0.0, numbers: 3 * space.len() };
    let density = space
        .small(small, |_| Ok(estimate::density_of(&spectrum.spectrum(), POINTS, space.epsilon(), space.rank())))?;
    Ok(Found { history: Vec::new(), ..Found::of((spectrum.trace(), side.method())) }.with(curves(density)))
}

fn lanczos<C: Context>(c: &C) -> Result<Found<C::Block>> {
    let (density, trace) = estimate::density(&c.space(View::All)?, &c.budget(), POINTS)?;
    let stop = if trace.stop == StopReason::Overflow { trace.stop } else { StopReason::Tolerance };
    let found = Found { stop, status: Some("all products allowed are in it"), ..Found::of((trace, "lanczos")) };
    Ok(found.with(curves(density)))
}

fn curves(density: Density) -> Vec<Named> {
    let curve = |name, x: Vec<f64>| (name, vec![x.len()], x);
    let number = |name, x| (name, Vec::new(), vec![x]);
    vec![
        curve("grid", density.grid),
        curve("density", density.density),
        curve("density_errors", density.error),
        number("width", density.width),
        curve("log10_grid", density.log_grid),
        curve("log10_density", density.log_density),
        number("zero_mass", density.zero_mass),
        number("zero_mass_error", density.zero_mass_error),
        (ZERO_MASS_INTERVAL.name, vec![2], density.zero_mass_interval.to_vec()),
        number("zero_mass_bound", density.zero_mass_bound),
    ]
}
