//! Marginals, blocks and whole matrices: curves of modes, and coloured cells.

use super::{Figure, Group, Stage};
use crate::analysis::outputs::{EIGENVALUES, MATRIX, STANDARD_ERRORS};
use crate::analysis::shown::Picture;
use crate::analysis::BLOCKS;
use crate::report::cells::{image, shrink, Colors};
use crate::report::figure::Table;
use crate::report::plot::{Axis, Layer, Plot, Scale};
use crate::report::style::Ink;
use crate::report::text;
use crate::results::read::Analysis;

/// Modes that are drawn.
const MODES: usize = 4;
/// A mode with a smaller share of the trace is not drawn.
const SHARE: f64 = 1e-3;
/// In a matrix of up to so many rows every cell says its number.
const WRITTEN: usize = 8;

/// The figures of a marginal.
pub fn marginals(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    let (shown, omitted) = group.shown();
    let mut figures = Vec::new();
    for (_, stage, a) in shown {
        figures.extend(modes(group, stage, a, &omitted));
        figures.extend(marginal(group, stage, a, &omitted));
    }
    figures
}

/// The figures of blocks between variables.
pub fn blocks(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    let (shown, omitted) = group.shown();
    shown.into_iter().filter_map(|(_, stage, a)| block(group, stage, a, &omitted)).collect()
}

/// The figures of whole matrices.
pub fn whole(group: &Group<'_>, _: &Picture) -> Vec<Figure> {
    let (shown, omitted) = group.shown();
    let name = "flat index (b · T + t) · N + j";
    let make = |(_, stage, a): (usize, &Stage, &Analysis)| {
        Some(cells(group, stage, ("The matrix", MATRIX.name), [name; 2], a.matrix(MATRIX.name)?, &omitted))
    };
    shown.into_iter().filter_map(make).collect()
}

/// What a figure of one file is called.
fn title_of(group: &Group<'_>, stage: &Stage, what: &str) -> String {
    let file = if group.stages > 1 { format!(", {}", stage.label) } else { String::new() };
    format!("{}{file}", group.title(what))
}

fn name_of(group: &Group<'_>, stage: &Stage, what: &str) -> Vec<String> {
    vec![stage.label.clone(), group.name.into(), what.into()]
}

/// Onto which axes, as words; by the size where the job does not say.
fn onto(stage: &Stage, a: &Analysis) -> (String, String) {
    let axes = a.axes();
    let size = a.matrix(MATRIX.name).map_or(0, |m| m.0);
    let by_size = || {
        let axis = ["trajectory", "time", "unit"].into_iter().zip(stage.results.shape).find(|x| x.1 == size);
        axis.map_or("part".to_string(), |x| x.0.to_string())
    };
    match &axes[..] {
        [] => {
            let one = by_size();
            (one.clone(), if one == "time" { "time step".into() } else { one })
        }
        [one] if one == "time" => (one.clone(), "time step".into()),
        [one] => (one.clone(), one.clone()),
        many => (many.join(" and "), format!("{}, the last one fastest", many.join(" × "))),
    }
}

/// The first step of the window of an analysis, where the axis is time.
fn first_step(a: &Analysis, axis: &str) -> f64 {
    let window = a.options.get("window").and_then(toml::Value::as_array);
    let first = window.and_then(|w| w.first()).and_then(toml::Value::as_integer);
    if axis == "time" {
        first.unwrap_or(0) as f64
    } else {
        0.0
    }
}

/// The leading modes as curves.
fn modes(group: &Group<'_>, stage: &Stage, a: &Analysis, omitted: &str) -> Option<Figure> {
    let (rows, d, data) = a.matrix("modes")?;
    let values = a.list(EIGENVALUES.name);
    let (sum, (axis, title)) = (values.iter().sum::<f64>(), onto(stage, a));
    let first = first_step(a, &axis);
    let mut layers = Vec::new();
    let mut legend = Vec::new();
    for i in 0..rows.min(MODES).min(values.len()) {
        let share = values[i] / sum;
        if !(share > SHARE || i == 0) || d == 0 {
            break;
        }
        let mode = &data[i * d..(i + 1) * d];
        // Signs mean nothing: the larger part of a mode is above.
        let sign = if mode.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
        let points: Vec<_> = mode.iter().enumerate().map(|(t, x)| (t as f64 + first, sign * x)).collect();
        let ink = Ink::Series(i);
        if d <= 40 {
            layers.push(Layer::Dots { points: points.clone(), ink, radius: 2.0, ring: false });
        }
        layers.push(Layer::line(points, ink));
        legend.push((format!("{}: {} %", i + 1, text::digits(100.0 * share, 3)), ink));
    }
    layers.insert(0, Layer::Rule { at: 0.0, vertical: false, ink: Ink::Faint });
    let x = Axis::new(title, Scale::Whole);
    Some(Figure {
        name: name_of(group, stage, "modes"),
        title: title_of(group, stage, &format!("Modes over {axis}")),
        caption: format!(
            "The leading eigenvectors of the marginal, of length 1, and their shares of its trace.{omitted}"
        ),
        plot: Plot { x, y: Axis::new("mode", Scale::Linear), layers, legend, ..Plot::default() },
        table: None,
    })
}

fn marginal(group: &Group<'_>, stage: &Stage, a: &Analysis, omitted: &str) -> Option<Figure> {
    let (axis, title) = onto(stage, a);
    let words = (format!("Marginal over {axis}"), MATRIX.name);
    Some(cells(group, stage, (&words.0, words.1), [title.as_str(); 2], a.matrix(MATRIX.name)?, omitted))
}

/// A matrix as coloured cells.
fn cells(
    group: &Group<'_>,
    stage: &Stage,
    (what, file): (&str, &str),
    axes: [&str; 2],
    (rows, columns, data): (usize, usize, &[f64]),
    omitted: &str,
) -> Figure {
    let (r, c, small) = shrink(rows, columns, data, group.cells);
    let note = match (r, c) == (rows, columns) {
        true => String::new(),
        false => format!(" Shown by {r} × {c} cells, each the mean of what it stands for."),
    };
    let over = |n: usize| (-0.5, n as f64 - 0.5);
    let (x, y) = (over(columns), over(rows));
    Figure {
        name: name_of(group, stage, file),
        title: title_of(group, stage, what),
        caption: format!("{rows} × {columns}; the colours are linear.{note}{omitted}"),
        plot: Plot {
            x: Axis::new(axes[1], Scale::Whole).over(x.0, x.1),
            y: Axis::new(axes[0], Scale::Whole).over(y.0, y.1).down(),
            image: Some(image(r, c, &small, Colors::Signs)),
            ..Plot::default()
        },
        table: None,
    }
}

/// ‖A_ab‖_F of the variables.
fn block(group: &Group<'_>, stage: &Stage, a: &Analysis, omitted: &str) -> Option<Figure> {
    // A state of one variable has one block, whose norm the table of numbers has.
    let (rows, columns, data) = a.matrix(MATRIX.name).filter(|m| m.0 > 1)?;
    let name = |i: usize| stage.results.variables.get(i).map_or(format!("{}", i + 1), |v| v.name.clone());
    let names: Vec<String> = (0..rows).map(name).collect();
    let errors = a.list(STANDARD_ERRORS.name);
    let cell = |i: usize| text::with_error(data.get(i).copied(), errors.get(i).copied());
    let table = (0..rows).map(|i| {
        let trace = text::with_error(a.list("traces").get(i).copied(), a.list("trace_errors").get(i).copied());
        let blocks = (0..columns).map(|j| cell(i * columns + j));
        std::iter::once(names[i].clone()).chain(blocks).chain([trace]).collect::<Vec<_>>()
    });
    let heads = std::iter::once(String::new()).chain(names.iter().cloned()).chain(["tr A_aa".to_string()]);
    let table = (rows <= WRITTEN).then(|| Table { heads: heads.collect(), rows: table.collect() });
    let mut plot = named_cells(&names, (rows, columns, data), Colors::Decades);
    // Few names say themselves; many are numbers.
    if rows > 24 {
        let over = |n: usize| (-0.5, n as f64 - 0.5);
        plot.x = Axis::new("variable", Scale::Whole).over(over(columns).0, over(columns).1);
        plot.y = Axis::new("variable", Scale::Whole).over(over(rows).0, over(rows).1).down();
    }
    Some(Figure {
        name: name_of(group, stage, BLOCKS.name),
        title: title_of(group, stage, "Blocks between variables"),
        caption: format!("‖A_ab‖_F between the variables of the state; the colours are logarithmic.{omitted}"),
        plot,
        table,
    })
}

/// A matrix between things that have names; small ones say their numbers.
pub fn named_cells(names: &[String], (rows, columns, data): (usize, usize, &[f64]), colors: Colors) -> Plot {
    let picture = image(rows, columns, data, colors);
    let mut layers = Vec::new();
    if rows <= WRITTEN && columns <= WRITTEN {
        for (i, x) in data.iter().enumerate().filter(|x| x.1.is_finite()) {
            let pixel = picture.pixels[i];
            // Dark words on light cells: by the luminance of the cell, the same in both schemes.
            let light = 0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2]);
            let ink = if light > 120.0 { Ink::Black } else { Ink::White };
            let at = ((i % columns) as f64, (i / columns) as f64);
            let words = if colors == Colors::Share { format!("{x:.3}") } else { text::short(*x) };
            layers.push(Layer::Label { at, text: words, ink, size: 10.5, lift: -0.95 });
        }
    }
    let axis = |n: usize| Axis::new("", Scale::Names(names.iter().take(n).cloned().collect()));
    Plot { x: axis(columns), y: axis(rows).down(), layers, image: Some(picture), ..Plot::default() }
}
