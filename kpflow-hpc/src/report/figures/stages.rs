//! What changes over the stages of a training, at a glance.

use super::{Figure, Group, Stage};
use crate::analysis::shown::Picture;
use crate::analysis::Operator;
use crate::report::plot::{Axis, Layer, Plot, Scale};
use crate::report::style::Ink;
use crate::report::text;
use crate::results::read::Analysis;

/// With more stages than this bars become a curve.
const BARS: usize = 12;

/// The effective rank over the files, and the other scalars; nothing for one file.
pub fn glance(stages: &[Stage], groups: &[Group<'_>]) -> Vec<Figure> {
    if stages.len() < 2 {
        return Vec::new();
    }
    let mut shown: Vec<&Group<'_>> = groups.iter().filter(|g| place(g).is_some() && values(g).len() >= 2).collect();
    shown.sort_by_key(|g| (place(g), g.operator != Operator::Ntk.name()));
    let figure = |(i, g): (usize, &&Group<'_>)| over(stages, g, i == 0);
    shown.iter().enumerate().map(figure).collect()
}

/// How early it is drawn, and how to read it; nothing where it is not.
fn over_stages(group: &Group<'_>) -> Option<(u8, &'static str)> {
    group.pictures().iter().find_map(|picture| {
        let Picture::OverStages { place, reading } = *picture else { return None };
        Some((place, reading))
    })
}

fn place(group: &Group<'_>) -> Option<u8> {
    over_stages(group).map(|(place, _)| place)
}

/// A value of a stage.
struct Point<'a> {
    stage: usize,
    value: f64,
    /// Its interval of 95 %; an end that is not finite is the value.
    ends: [f64; 2],
    analysis: &'a Analysis,
}

/// The values that there are.
fn values<'a>(group: &Group<'a>) -> Vec<Point<'a>> {
    let one = |&(stage, _, analysis): &(usize, &Stage, &'a Analysis)| {
        let value = analysis.value().filter(|v| v.is_finite())?;
        let ends = super::ends(analysis).unwrap_or([value; 2]).map(|x| if x.is_finite() { x } else { value });
        Some(Point { stage, value, ends, analysis })
    };
    group.members.iter().filter_map(one).collect()
}

fn over(stages: &[Stage], group: &Group<'_>, wide: bool) -> Figure {
    let values = values(group);
    let point = |v: &Point<'_>| (v.stage as f64, v.value);
    let points: Vec<_> = values.iter().map(point).collect();
    let uncertain = values.iter().filter(|v| v.ends[0] < v.ends[1]);
    let whiskers: Vec<_> = uncertain.map(|v| [v.stage as f64, v.ends[0], v.ends[1]]).collect();
    let few = stages.len() <= BARS;
    let mut layers = Vec::new();
    for v in values.iter().filter(|_| few) {
        layers.push(Layer::Bars { points: vec![point(v)], ink: Ink::of(v.stage, stages.len()), width: 0.62 });
    }
    if !few {
        layers.push(Layer::line(points.clone(), Ink::Series(0)));
        layers.push(Layer::dots(points.clone(), Ink::Series(0)));
    }
    layers.push(Layer::Whiskers { points: whiskers, ink: Ink::Text });
    let size = if wide { 14.0 } else { 11.5 };
    let room = if wide { BARS } else { 6 };
    for v in values.iter().filter(|_| stages.len() <= room) {
        let top = if v.value >= 0.0 { v.ends[1] } else { 0.0 };
        layers.push(Layer::Label {
            at: (v.stage as f64, top),
            text: text::digits(v.value, 3),
            ink: Ink::Text,
            size,
            lift: 0.0,
        });
    }
    let quantity = group.title_of_quantity();
    let names = Scale::Names(stages.iter().map(|s| s.label.clone()).collect());
    let mut y = Axis::new(quantity.clone(), Scale::Linear).with_zero();
    // Room for the numbers above the bars.
    let highest = values.iter().fold(0.0, |m: f64, v| m.max(v.ends[1]));
    let lowest = values.iter().fold(0.0, |m: f64, v| m.min(v.ends[0]));
    if few && highest > lowest {
        let span = highest - lowest;
        y = y.over(
            if lowest < 0.0 { lowest - 0.08 * span } else { 0.0 },
            highest + if wide { 0.15 } else { 0.13 } * span,
        );
    }
    Figure {
        name: vec![String::new(), group.name.into(), "over-stages".into()],
        title: format!("{} of {} over the stages ({})", capital(&quantity), text::operator(group.operator), group.name),
        caption: caption(stages, &values, over_stages(group).map_or("", |(_, reading)| reading)),
        plot: Plot { x: Axis::new("", names), y, layers, wide, ..Plot::default() },
        table: None,
    }
}

/// From the first to the last, in words.
fn caption(stages: &[Stage], values: &[Point<'_>], reading: &str) -> String {
    let said = |v: &Point<'_>| {
        text::with_interval(Some(v.value), v.analysis.standard_error().filter(|e| e.is_finite()), v.analysis.interval())
    };
    let say = |v: &Point<'_>| format!("{} {}", stages[v.stage].label, said(v));
    let line = match values {
        [first, .., last] if values.len() > 5 => format!("From {} to {}.", say(first), say(last)),
        few => format!("{}.", few.iter().map(say).collect::<Vec<_>>().join(" → ")),
    };
    let space = if reading.is_empty() { "" } else { " " };
    let bars = if values.iter().any(|v| v.ends[0] < v.ends[1]) { " Error bars: 95 %." } else { "" };
    format!("{line}{bars}{space}{reading}")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}
