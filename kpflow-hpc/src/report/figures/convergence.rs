//! How estimates came to their values.

use super::{curves, Figure, Group};
use crate::analysis::shown::Picture;
use crate::analysis::History;
use crate::report::plot::{Axis, Layer, Scale};
use crate::report::style::Ink;

/// Standard errors in an interval of 95 %.
const WIDE: f64 = 1.96;

/// The figure of an analysis with a history of at least two steps.
pub fn figures(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    if group.members.iter().all(|m| m.2.history.len() < 2) {
        return Vec::new();
    }
    vec![match group.known.map(|q| q.history) {
        Some(History::Residuals) => residuals(group, Third::Pairs),
        Some(History::Bound) => residuals(group, Third::Bound),
        Some(History::Solve) => residuals(group, Third::Solutions),
        Some(History::Estimate { .. }) | None => values(group),
    }]
}

fn values(group: &Group<'_>) -> Figure {
    let relative = group.stages > 1;
    // Every curve by its end, so that all of them are near 1.
    let scale = |last: f64| if relative && last != 0.0 && last.is_finite() { last } else { 1.0 };
    let end = |history: &[[f64; 3]]| history.last().map_or(1.0, |h| scale(h[1]));
    let mut span = (f64::INFINITY, f64::NEG_INFINITY);
    let mut reach = |x: f64| {
        if x.is_finite() {
            span = (span.0.min(x), span.1.max(x));
        }
    };
    for (_, _, a) in &group.members {
        let by = end(&a.history);
        a.history.iter().for_each(|h| reach(h[1] / by));
        // The bands of the second half are in view; the first ones may be wider than all else.
        for h in a.history.iter().skip(a.history.len() / 2).filter(|h| h[2].is_finite()) {
            reach((h[1] - WIDE * h[2]) / by);
            reach((h[1] + WIDE * h[2]) / by);
        }
    }
    let mut layers = group.each(|ink, _, a| {
        let by = end(&a.history);
        let band = a.history.iter().filter(|h| h[2].is_finite());
        let band = band.map(|h| [h[0], (h[1] - WIDE * h[2]) / by, (h[1] + WIDE * h[2]) / by]).collect();
        let points: Vec<_> = a.history.iter().map(|h| (h[0], h[1] / by)).collect();
        let dots = if points.len() <= 40 { points.clone() } else { Vec::new() };
        vec![
            Layer::Band { points: band, ink, alpha: 0.18 },
            Layer::line(points, ink),
            Layer::Dots { points: dots, ink, radius: 2.0, ring: false },
        ]
    });
    if relative {
        layers.push(Layer::Rule { at: 1.0, vertical: false, ink: Ink::Faint });
    }
    let (title, first) = match relative {
        true => ("value / final value", "Each file by its final value."),
        false => ("value", "The value."),
    };
    let mut y = Axis::new(title, Scale::Linear);
    if span.0 < span.1 {
        let pad = 0.06 * (span.1 - span.0);
        y = y.over(span.0 - pad, span.1 + pad);
    }
    Figure {
        name: group.file("convergence"),
        title: group.title(&format!("Convergence: {}", group.title_of_quantity())),
        caption: format!("{first} Bands: 95 % (±1.96 standard errors), cut at the picture's edge."),
        plot: curves(group, products(group), y, layers),
        table: None,
    }
}

/// What the third number of each step is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Third {
    /// The largest residual of pairs.
    Pairs,
    /// The bound of an error that a residual gives.
    Bound,
    /// The largest residual of solutions.
    Solutions,
}

/// The third of each step.
fn residuals(group: &Group<'_>, third: Third) -> Figure {
    let mut layers = group.each(|ink, _, a| {
        let points: Vec<_> = a.history.iter().map(|h| (h[0], h[2])).collect();
        let dots = if points.len() <= 40 { points.clone() } else { Vec::new() };
        vec![Layer::line(points, ink), Layer::Dots { points: dots, ink, radius: 2.0, ring: false }]
    });
    let asked = group.members.iter().filter_map(|m| m.2.options.get("rtol")).find_map(toml::Value::as_float);
    let mut caption = match third {
        Third::Bound => "The bound of the error that the residual gives.",
        Third::Pairs => "The largest residual of the pairs that are asked for, as it was estimated on the way.",
        Third::Solutions => "The largest residual of the solutions, as it was carried along on the way.",
    }
    .to_string();
    if let Some(asked) = asked.filter(|a| *a > 0.0 && third != Third::Bound) {
        layers.push(Layer::Rule { at: asked, vertical: false, ink: Ink::Faint });
        caption += " Dashed: what was asked for.";
    }
    Figure {
        name: group.file("convergence"),
        title: group.title(&format!("Convergence: {}", group.title_of_quantity())),
        caption,
        plot: curves(group, products(group), Axis::new("residual", Scale::Log), layers),
        table: None,
    }
}

/// The axis of products; logarithmic where they grow by more than a factor of thirty.
fn products(group: &Group<'_>) -> Axis {
    let all = || group.members.iter().flat_map(|m| &m.2.history).map(|h| h[0]).filter(|x| *x > 0.0);
    let (low, high) = all().fold((f64::INFINITY, 0.0), |(a, b), x| (x.min(a), x.max(b)));
    let scale = if high > 30.0 * low { Scale::Log } else { Scale::Linear };
    Axis::new("operator products", scale)
}
