//! The spectral density.

use super::outputs::Dimension::Point;
use super::outputs::{Compared, Degree, Output, HISTORY, PLAIN, STANDARD_ERROR_OF_A, VALUE_OF_A};
use super::shown::{Line, Picture, Row};
use super::{History, Quantity};

/// The points of the curve.
pub const GRID: Output = Output {
    name: "grid",
    dimensions: &[Point],
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
    meaning: "Of the eigenvalues that are not 0, smoothed by Gaussians; its integral is 1.",
    ..GRID
};

/// Its errors.
pub const CURVE_ERRORS: Output =
    Output { name: "density_errors", error: None, meaning: "The standard errors of the density.", ..CURVE };

/// The points of the curve over decades.
pub const LOG_GRID: Output = Output {
    name: "log10_grid",
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
    ..GRID
};

/// How many eigenvalues are 0.
pub const ZERO_MASS: Output = Output {
    name: "zero_mass",
    error: Some(ZERO_MASS_ERROR.name),
    compared: Compared::Estimate,
    meaning: "The share of eigenvalues that were found to be 0, an atom.",
    ..PLAIN
};

/// The error of that.
pub const ZERO_MASS_ERROR: Output =
    Output { name: "zero_mass_error", meaning: "The standard error of zero_mass.", ..PLAIN };

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
    outputs: &[
        Output { meaning: "The trace.", ..VALUE_OF_A },
        STANDARD_ERROR_OF_A,
        ZERO_MASS,
        ZERO_MASS_ERROR,
        Output { name: "zero_mass_bound", meaning: "No more than this share can be 0.", ..PLAIN },
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
