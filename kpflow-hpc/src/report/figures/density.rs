//! Spectral densities.

use super::{curves, Figure, Group};
use crate::analysis::density::{CURVE, CURVE_ERRORS, GRID, LOG_CURVE, LOG_GRID, WIDTH, ZERO_MASS, ZERO_MASS_ERROR};
use crate::analysis::shown::Picture;
use crate::report::plot::{Axis, Layer, Scale};
use crate::report::text;

/// Standard errors in an interval of 95 %.
const WIDE: f64 = 1.96;

/// The figures of a density.
pub fn figures(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    let zero = group.members.iter().filter_map(|(_, s, a)| {
        let (mass, error) = (a.scalar(ZERO_MASS.name)?, a.scalar(ZERO_MASS_ERROR.name));
        let label = if group.stages > 1 { format!("{} ", s.label) } else { String::new() };
        Some(format!("{label}{}", text::with_error(Some(mass), error)))
    });
    let zero: Vec<_> = zero.take(8).collect();
    let mass =
        if zero.is_empty() { String::new() } else { format!(" Share of eigenvalues that are 0: {}.", zero.join(", ")) };
    let zip = |x: &[f64], y: &[f64]| x.iter().copied().zip(y.iter().copied()).collect::<Vec<_>>();
    let mut figures = Vec::new();
    let decades = group.each(|ink, _, a| {
        let points = zip(a.list(LOG_GRID.name), a.list(LOG_CURVE.name));
        let points: Vec<_> = points.into_iter().map(|(x, y)| (10f64.powf(x), y)).collect();
        let under = points.iter().map(|p| [p.0, 0.0, p.1]).collect();
        vec![Layer::Band { points: under, ink, alpha: 0.15 }, Layer::line(points, ink)]
    });
    if group.members.iter().any(|m| !m.2.list(LOG_GRID.name).is_empty()) {
        figures.push(Figure {
            name: group.file(CURVE.name),
            title: group.title("Density over log₁₀ λ"),
            caption: format!("The share of eigenvalues for each decade.{mass}"),
            plot: curves(
                group,
                Axis::new("eigenvalue", Scale::Log),
                Axis::new("density for each decade", Scale::Linear).with_zero(),
                decades,
            ),
            table: None,
        });
    }
    let even = group.each(|ink, _, a| {
        let points = zip(a.list(GRID.name), a.list(CURVE.name));
        let errors = zip(a.list(GRID.name), a.list(CURVE_ERRORS.name));
        let band = points.iter().zip(&errors).filter(|(_, e)| e.1 > 0.0 && e.1.is_finite());
        let band = band.map(|(p, e)| [p.0, (p.1 - WIDE * e.1).max(0.0), p.1 + WIDE * e.1]).collect();
        vec![Layer::Band { points: band, ink, alpha: 0.22 }, Layer::line(points, ink)]
    });
    if group.members.iter().any(|m| !m.2.list(GRID.name).is_empty()) {
        let uncertain = group.members.iter().any(|m| m.2.list(CURVE_ERRORS.name).iter().any(|e| *e > 0.0));
        let band = if uncertain { " Bands: 95 %." } else { "" };
        let widths: Vec<_> =
            group.members.iter().filter_map(|m| m.2.scalar(WIDTH.name)).map(text::short).take(8).collect();
        let width =
            if widths.is_empty() { String::new() } else { format!(" Width of the Gaussians: {}.", widths.join(", ")) };
        // The peak of the smallest eigenvalues is high above the rest: five decades of it.
        let highest = group.members.iter().flat_map(|m| m.2.list(CURVE.name)).fold(0.0, |m: f64, x| m.max(*x));
        let y = Axis::new(CURVE.name, Scale::Log).over((highest * 1e-5).max(1e-300), (highest * 1.6).max(1e-299));
        figures.push(Figure {
            name: group.file("density-linear"),
            title: group.title("Density over λ"),
            caption: format!("Five decades below its peak.{band}{width}{mass}"),
            plot: curves(group, Axis::new("eigenvalue", Scale::Linear), y, even),
            table: None,
        });
    }
    figures
}
