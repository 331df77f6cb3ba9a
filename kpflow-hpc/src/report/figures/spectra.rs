//! Eigenvalues and singular values, the energy in the leading ones, and residuals.

use super::{counted, curves, index, is_leading, is_part, Figure, Group};
use crate::analysis::outputs::{EFFECTIVE_RANK as RANK, EIGENVALUES, RESIDUALS};
use crate::analysis::shown::Picture;
use crate::analysis::{EFFECTIVE_RANK, TRACE};
use crate::report::plot::{Axis, Layer, Scale};
use crate::report::style::Ink;

/// More points than this are a curve without dots.
const DOTS: usize = 130;

/// Values on a logarithmic axis; their residuals as error bars, and rings where those leave less than two digits.
pub fn spectrum(group: &Group<'_>, picture: &Picture) -> Vec<Figure> {
    let Picture::Spectrum { values: list, word } = *picture else { return Vec::new() };
    if group.members.iter().all(|m| m.2.list(list).is_empty()) {
        return Vec::new();
    }
    let mut small = 0;
    let layers = group.each(|ink, _, a| {
        let values = a.list(list);
        // What is rounding, against the largest, is not shown.
        let least = values.first().map_or(0.0, |v| v.abs() * 1e-12);
        let points: Vec<_> = counted(values).into_iter().filter(|p| p.1 > least).collect();
        small += values.len() - points.len();
        let bound = a.bounds(list);
        let bars = points.iter().zip(&bound).filter(|(p, b)| **b > 0.02 * p.1);
        let bars: Vec<_> = bars.map(|(p, b)| [p.0, p.1 - b, p.1 + b]).collect();
        let (sure, unsure): (Vec<_>, Vec<_>) =
            points.iter().enumerate().partition(|(i, p)| bound.get(*i).is_none_or(|b| *b <= 0.01 * p.1));
        let bare = |p: Vec<(usize, &(f64, f64))>| p.into_iter().map(|p| *p.1).collect::<Vec<_>>();
        let mut layers = vec![Layer::Line { points: points.clone(), ink, width: 1.2, alpha: 0.8 }];
        if points.len() <= DOTS {
            layers.push(Layer::Whiskers { points: bars, ink });
            layers.push(Layer::Dots { points: bare(unsure), ink, radius: 3.0, ring: true });
            layers.push(Layer::dots(bare(sure), ink));
        }
        layers
    });
    let residuals = group.members.iter().any(|m| !m.2.bounds(list).is_empty());
    let which = if group.members.iter().all(|m| is_leading(m.2)) { "leading " } else { "" };
    let mut caption = format!("The {which}{word}s that are asked for, largest first, on a logarithmic axis.");
    if residuals {
        caption += " Bars: the residual's bound of the error, where it is above 2 %; rings: where it is above 1 %.";
    }
    if small > 0 {
        caption += &format!(" {small} of no more than 10⁻¹² of the largest are not shown.");
    }
    vec![Figure {
        name: group.file("spectrum"),
        title: group.title(&format!("Spectrum{}", onto(group))),
        caption,
        plot: curves(group, index("number"), Axis::new(word, Scale::Log), layers),
        table: group.table("number", list),
    }]
}

/// Onto what a marginal is; nothing for what is none.
fn onto(group: &Group<'_>) -> String {
    let axes = group.members.first().map(|m| m.2.axes()).unwrap_or_default();
    if axes.is_empty() {
        String::new()
    } else {
        format!(" of the marginal over {}", axes.join(" and "))
    }
}

/// The share of the trace in the leading eigenvalues.
pub fn energy(group: &Group<'_>, picture: &Picture) -> Vec<Figure> {
    let Picture::Energy { all: has_all } = *picture else { return Vec::new() };
    if group.members.iter().all(|m| m.2.list(EIGENVALUES.name).is_empty()) {
        return Vec::new();
    }
    let (mut whole, mut vague) = (true, 0.0f64);
    let mut ranks = Vec::new();
    let mut layers = Vec::new();
    for (i, stage, a) in group.members.iter().filter(|m| is_leading(m.2)) {
        let (values, ink) = (a.list(EIGENVALUES.name), group.ink(*i));
        let all: f64 = values.iter().sum();
        let of_file = |quantity| stage.value_of(group.operator, quantity).filter(|_| !is_part(a));
        let trace = if has_all { Some(all) } else { of_file(&TRACE) };
        whole &= trace.is_some();
        if !has_all {
            vague = vague.max(stage.error_of(group.operator, &TRACE));
        }
        let total = trace.unwrap_or(all);
        if !(total > 0.0 && total.is_finite()) {
            continue;
        }
        let mut sum = 0.0;
        let share = values.iter().map(|v| {
            sum += v / total;
            sum
        });
        let points: Vec<_> = std::iter::once((0.0, 0.0)).chain(counted(&share.collect::<Vec<_>>())).collect();
        let dots = points.len() <= 60;
        layers.push(Layer::line(points.clone(), ink));
        if dots {
            layers.push(Layer::Dots { points, ink, radius: 2.0, ring: false });
        }
        let rank = if has_all { a.scalar(RANK.name) } else { of_file(&EFFECTIVE_RANK) };
        if let Some(rank) = rank.filter(|r| r.is_finite()) {
            layers.push(Layer::Rule { at: rank, vertical: true, ink });
            ranks.push((stage.label.as_str(), rank));
        }
    }
    if layers.is_empty() {
        return Vec::new();
    }
    let of = if whole { "of the trace" } else { "of the sum of those found" };
    let mut caption = format!("The share {of} in the k leading eigenvalues.");
    if vague > 0.02 && whole {
        caption += &format!(" The trace is known to ± {:.0} % (95 %).", 100.0 * vague);
    }
    if !ranks.is_empty() {
        let say = ranks.iter().take(8).map(|(l, r)| match group.stages {
            1 => format!("{r:.1}"),
            _ => format!("{l} {r:.1}"),
        });
        caption += &format!(" Dashed: the effective rank, {}.", say.collect::<Vec<_>>().join(", "));
    }
    let y = Axis::new(format!("share {of}"), Scale::Linear).with_zero();
    vec![Figure {
        name: group.file("energy"),
        title: group.title(&format!("Cumulative energy{}", onto(group))),
        caption,
        plot: curves(group, Axis::new("k", Scale::Whole).with_zero(), y, layers),
        table: None,
    }]
}

/// Residuals, where any is above 0.
pub fn residuals(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    if !group.members.iter().any(|m| m.2.list(RESIDUALS.name).iter().any(|r| *r > 0.0)) {
        return Vec::new();
    }
    let mut layers = group.each(|ink, _, a| {
        let points: Vec<_> = counted(a.list(RESIDUALS.name)).into_iter().filter(|p| p.1 > 0.0).collect();
        vec![Layer::dots(points, ink)]
    });
    let asked = group.members.iter().filter_map(|m| m.2.options.get("rtol")).find_map(toml::Value::as_float);
    let leading = group.members.iter().all(|m| is_leading(m.2));
    let by = if leading { "λ₁" } else { "the largest λ listed" };
    let mut caption = format!("‖A v − λ v‖ / {by} of each pair, measured by one more product.");
    if let Some(asked) = asked.filter(|a| *a > 0.0) {
        layers.push(Layer::Rule { at: asked, vertical: false, ink: Ink::Faint });
        caption += " Dashed: what was asked for.";
    }
    vec![Figure {
        name: group.file(RESIDUALS.name),
        title: group.title("Residuals"),
        caption,
        plot: curves(group, index("number"), Axis::new("residual", Scale::Log), layers),
        table: group.table("number", RESIDUALS.name),
    }]
}
