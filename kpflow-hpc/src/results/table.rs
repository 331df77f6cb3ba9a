//! Numbers of result files as a person reads them, and the table of a training run.

use crate::analysis::outputs::Compared;
use crate::analysis::{self, Output};
use crate::job::{Job, Stage};
use hdf5::{File, Group};

/// A number down to the decimal place `last` (2: hundredths).
pub fn number(value: f64, last: i32) -> String {
    if (1e-3..1e7).contains(&value.abs()) {
        format!("{value:.*}", last.clamp(0, 12) as usize)
    } else {
        format!("{value:.6e}")
    }
}

/// The decimal place of the `digits`-th digit of a number.
pub fn place(value: f64, digits: i32) -> i32 {
    digits - 1 - value.abs().log10().floor() as i32
}

/// The ends of a 95 % interval in brackets, to stand behind a value and its standard error; nothing where they say no more than those: where it is
/// symmetric, to a twentieth.
pub fn ends(value: f64, interval: Option<[f64; 2]>, number: impl Fn(f64) -> String) -> String {
    let Some([low, high]) = interval else { return String::new() };
    let (below, above) = (value - low, high - value);
    let wider = below.max(above);
    // NaN is beside no number.
    if below == above || (below - above).abs() <= 0.05 * wider && wider.is_finite() || (below - above).is_nan() {
        return String::new();
    }
    let end = |x: f64| {
        if x.is_infinite() {
            if x > 0.0 {
                "∞".into()
            } else {
                "−∞".into()
            }
        } else {
            number(x)
        }
    };
    format!(" [{}, {}]", end(low), end(high))
}

/// The value of an analysis, down to the first digit that is uncertain.
pub fn value(analysis: &Group) -> Option<String> {
    let scalar = |name: &str| analysis.dataset(name).ok()?.read_scalar::<f64>().ok();
    Some(match (scalar("value")?, scalar("standard_error")) {
        (value, Some(error)) if error > 0.0 => {
            let decimals = place(error, 1).clamp(0, 12) as usize;
            let last = if error.is_finite() { place(error, 1) } else { place(value, 3) };
            let interval = analysis.dataset("interval").and_then(|d| d.read_raw::<f64>()).ok();
            let interval = interval.and_then(|d| d.try_into().ok());
            let bracket = ends(value, interval, |x| self::number(x, last));
            format!("{} ± {error:.decimals$}{bracket}", number(value, last))
        }
        (value, _) => number(value, place(value, 9)),
    })
}

/// The first number of a list of an analysis.
fn first(analysis: &Group, list: &Output) -> Option<String> {
    let first = analysis.dataset(list.name).ok()?.read_raw::<f64>().ok()?.first().copied();
    first.map(|v| number(v, place(v, 6)))
}

/// Rows of words, right-aligned but for the first `left` columns.
pub fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|w| w.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, word) in row.iter().enumerate() {
            let space = " ".repeat(widths[c] - word.chars().count());
            line += &if c < left { format!("  {word}{space}") } else { format!("  {space}{word}") };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// The stages of a training run, a row each: every number there is, and the alignments with the stage before and the first.
pub fn stages(job: &Job) -> String {
    let columns: Vec<(String, &str)> = job
        .analyses
        .iter()
        .map(|a| {
            let leading = a.quantity.leading().map(|list| list.compared);
            let head = match leading {
                Some(Compared::Spectrum(letter)) => format!("{} {letter}_1", a.name),
                Some(Compared::Estimate | Compared::No) | None => a.name.clone(),
            };
            (head, a.name.as_str())
        })
        .collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (i, stage) in job.stages.iter().enumerate() {
        let this = job.at(i);
        let file = File::open(&this.output).and_then(|f| f.group("analysis")).ok();
        let group = |name: &str| file.as_ref().and_then(|f| f.group(name).ok());
        let mut row = vec![stage.name.clone()];
        row.extend(columns.iter().map(|(_, name)| {
            let cell = group(name).and_then(|g| leading_or_value(&g));
            cell.unwrap_or_else(|| "-".into())
        }));
        let to = |other: Option<&Stage>, operator| {
            let name = other.map(|o| Job::alignment_name(operator, o));
            name.and_then(|n| group(&n)).and_then(|g| value(&g)).unwrap_or_else(|| "-".into())
        };
        for operator in job.aligned_operators() {
            row.push(to(i.checked_sub(1).map(|b| &job.stages[b]), operator));
            row.push(to(job.stages.first().filter(|_| i > 0), operator));
        }
        rows.push(row);
    }
    let mut head: Vec<String> = vec!["stage".into()];
    head.extend(columns.into_iter().map(|c| c.0));
    head.extend(job.aligned_operators().flat_map(|o| ["before", "first"].map(|w| format!("{} · {w}", o.name()))));
    rows.insert(0, head);
    // What no stage has a number of is no column.
    let told: Vec<bool> = (0..rows[0].len()).map(|c| rows[1..].iter().any(|r| r[c] != "-")).collect();
    let kept = |row: Vec<String>| row.into_iter().zip(&told).filter(|(_, &k)| k).map(|(w, _)| w).collect();
    aligned(&rows.into_iter().map(kept).collect::<Vec<_>>(), 1)
}

fn leading_or_value(analysis: &Group) -> Option<String> {
    let name = analysis.attr("quantity").and_then(|a| a.read_scalar()).ok();
    let quantity = name.and_then(|name| analysis::named(&crate::hdf5_file::text(&name)));
    match quantity.and_then(|q| q.leading()) {
        Some(list) => first(analysis, list),
        None => value(analysis),
    }
}
