//! `kpflow compare`: the quantities of two result files side by side, and whether they differ by more than their errors.
//!
//! Estimates agree within four combined standard errors (of an interval that is not symmetric: of the halves that face each other), eigenvalues within the bounds of their residuals, all else to rounding:
//! 10⁻⁹ of the largest number beside it (10⁻⁴ if a run was in f32).

use crate::analysis;
use crate::analysis::outputs::Compared;
use crate::cli;
use crate::comm::Comm;
use crate::error::{some_of, Error, Result};
use crate::results::read::{Analysis, Results};
use kpflow_estimate::Z;
use serde_json::{json, Value};

/// Combined standard errors that two estimates may be apart.
const SIGMAS: f64 = 4.0;

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The analysis.
    pub analysis: String,
    /// What of it.
    pub what: String,
    /// Which value of a spectrum, from 1; 0 of all else.
    pub place: usize,
    /// In the first file.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// The combined error of both, or the bound of it, rounding included.
    pub error: f64,
    /// |a − b| in units of that error.
    pub distance: f64,
    /// How far they may be apart in these units.
    pub limit: f64,
}

impl Row {
    /// Whether both agree. Numbers that are no numbers in both do.
    pub fn agrees(&self) -> bool {
        self.distance <= self.limit || (self.a.is_nan() && self.b.is_nan())
    }
}

/// What two files have in common, and what only one of them has.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// What could be compared.
    pub rows: Vec<Row>,
    /// Analyses of the first file only.
    pub only_a: Vec<String>,
    /// Analyses of the second file only.
    pub only_b: Vec<String>,
    /// Analyses of one name that are not of the same kind or size, and why.
    pub unlike: Vec<(String, String)>,
}

/// Runs the command, on one rank.
///
/// **Errors**: a file is not a result file, or they have nothing in common (status 2); they differ (status 1).
pub fn compare(options: &cli::Compare, comm: Comm) -> Result<()> {
    comm.agree(if comm.is_root() { print(options) } else { Ok(()) })
}

fn print(options: &cli::Compare) -> Result<()> {
    let (a, b) = (Results::open(&options.a)?, Results::open(&options.b)?);
    let found = compared(&a, &b);
    if found.rows.is_empty() && found.unlike.is_empty() {
        let names: Vec<&str> = b.analyses.iter().map(|x| x.name.as_str()).collect();
        let what = format!("has no analysis in common with {}; that one has {}", options.b.display(), some_of(&names));
        return Err(Error::input(&options.a, what));
    }
    let mut differ: Vec<&str> = found.rows.iter().filter(|r| !r.agrees()).map(|r| r.analysis.as_str()).collect();
    differ.extend(found.unlike.iter().map(|u| u.0.as_str()));
    differ.dedup();
    if options.json {
        println!("{:#}", document(options, &found, differ.is_empty()));
    } else {
        table(options, &found);
    }
    match differ.is_empty() {
        true => Ok(()),
        false => Err(Error::run(format!(
            "{} and {} differ by more than their errors in {}",
            options.a.display(),
            options.b.display(),
            some_of(&differ)
        ))),
    }
}

/// Compares two result files.
pub fn compared(a: &Results, b: &Results) -> Comparison {
    let rounding = if a.precision == "f32" || b.precision == "f32" { 1e-4 } else { 1e-9 };
    let only = |x: &Results, y: &Results| -> Vec<String> {
        x.analyses.iter().filter(|n| y.analysis(&n.name).is_none()).map(|n| n.name.clone()).collect()
    };
    let mut found = Comparison { only_a: only(a, b), only_b: only(b, a), ..Comparison::default() };
    for x in &a.analyses {
        let Some(y) = b.analysis(&x.name) else { continue };
        match pair(x, y, rounding) {
            Ok(rows) => found.rows.extend(rows),
            Err(why) => found.unlike.push((x.name.clone(), why)),
        }
    }
    found
}

/// The comparisons of one analysis in two files.
fn pair(x: &Analysis, y: &Analysis, rounding: f64) -> std::result::Result<Vec<Row>, String> {
    let kind = |a: &Analysis| format!("{} of {}", a.quantity, a.operator);
    if kind(x) != kind(y) {
        return Err(format!("is {} in one, {} in the other", kind(x), kind(y)));
    }
    let mut rows = Vec::new();
    let mut add = |what: &str, list: Option<Row>| {
        rows.extend(list.map(|r| Row { analysis: x.name.clone(), what: what.into(), ..r }));
    };
    for output in analysis::outputs_of(&x.quantity) {
        let (name, error) = (output.name, output.error.unwrap_or_default());
        let (Some(p), Some(q)) = (x.array(name), y.array(name)) else { continue };
        match output.compared {
            Compared::No => {}
            Compared::Spectrum(letter) => {
                for (i, r) in spectrum(x, y, name, rounding).into_iter().enumerate() {
                    add(&format!("{letter}_{}", i + 1), Some(Row { place: i + 1, ..r }));
                }
            }
            Compared::Estimate if p.shape != q.shape => {
                return Err(format!("has {name} {:?} in one, {:?} in the other", p.shape, q.shape));
            }
            // A norm's error is a bound by its residual: four of it are not called for, and do no harm.
            Compared::Estimate => {
                let intervals = output.interval.map(|i| [x.list(i), y.list(i)]);
                let errors = intervals.and_then(|i| facing([&p.data, &q.data], i));
                let errors = errors.as_ref().map_or([x.list(error), y.list(error)], |[e, f]| [e, f]);
                add(name, worst(&p.data, &q.data, errors, rounding));
            }
        }
    }
    Ok(rows)
}

/// Standard errors of two values by those halves of their intervals that face each other; nothing where a file has none.
fn facing(values: [&[f64]; 2], intervals: [&[f64]; 2]) -> Option<[[f64; 1]; 2]> {
    let ([&[a], &[b]], [&[a_low, a_high], &[b_low, b_high]]) = (values, intervals) else { return None };
    let halves = if a <= b { [a_high - a, b - b_low] } else { [a - a_low, b_high - b] };
    Some(halves.map(|half| [half / Z]))
}

fn row(a: f64, b: f64, error: f64, limit: f64) -> Row {
    let apart = (a - b).abs();
    let distance = match (a == b, a.is_finite() && b.is_finite()) {
        // The same infinity is no distance, an infinity beside a number is no error's doing.
        (true, _) => 0.0,
        (_, false) => f64::INFINITY,
        // An error that is not known allows any.
        _ if error.is_infinite() => 0.0,
        _ => apart / error,
    };
    Row { analysis: String::new(), what: String::new(), place: 0, a, b, error, distance, limit }
}

fn combined([a, b]: [f64; 2], rounding: f64) -> f64 {
    // f64::max takes the other of a NaN: an error that is not a number is unknown.
    let square = |e: f64| if e.is_nan() { f64::INFINITY } else { e * e };
    (square(a) + square(b)).sqrt() + rounding
}

/// The entry of an array that is farthest apart in units of its error.
///
/// Among m normal numbers one is beyond √(16 + 2 log m) about as rarely as one alone is beyond 4.
fn worst(a: &[f64], b: &[f64], errors: [&[f64]; 2], rounding: f64) -> Option<Row> {
    let largest = a.iter().chain(b).filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()));
    let limit = (SIGMAS * SIGMAS + 2.0 * (a.len().max(1) as f64).ln()).sqrt();
    let one = |i: usize| {
        let e = errors.map(|e| e.get(i).copied().unwrap_or(0.0));
        let limit = if e == [0.0; 2] { SIGMAS } else { limit };
        row(a[i], b[i], combined(e, rounding * largest), limit)
    };
    let farther = |x: &Row, y: &Row| (x.distance / x.limit).total_cmp(&(y.distance / y.limit));
    (0..a.len().min(b.len())).map(one).max_by(farther)
}

/// Values one by one, within the bounds of their residuals.
fn spectrum(x: &Analysis, y: &Analysis, name: &str, rounding: f64) -> Vec<Row> {
    let (p, q) = (x.list(name), y.list(name));
    let largest = p.iter().chain(q).fold(0.0, |m: f64, v| m.max(v.abs()));
    // ‖A v − λ v‖ = r λ_1 bounds the error of λ. Triplets are those of A Aᵀ, whose values are squares: σ is off by r σ_1² / 2σ.
    let [in_x, in_y] = [x, y].map(|a| a.bounds(name));
    let at = |bounds: &[f64], i: usize| bounds.get(i).copied().unwrap_or(0.0);
    // Both bounds may be reached at once, so they add.
    let one = |i: usize| row(p[i], q[i], at(&in_x, i) + at(&in_y, i) + rounding * largest, 1.0);
    (0..p.len().min(q.len())).map(one).collect()
}

/// Rows of a spectrum beyond this are only printed where they differ.
const LEADING: usize = 5;

fn table(options: &cli::Compare, found: &Comparison) {
    let name = |p: &std::path::Path| p.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let mut heads = [name(&options.a), name(&options.b)];
    if heads[0] == heads[1] {
        heads = [&options.a, &options.b].map(|p| p.display().to_string());
    }
    let label = |r: &Row| format!("{} {}", r.analysis, r.what);
    let wide = found.rows.iter().map(|r| label(r).chars().count()).max().unwrap_or(0).max(8);
    println!("{:wide$}  {:>18}  {:>18}  {:>12}  apart", "quantity", heads[0], heads[1], "error");
    let mut hidden = 0;
    for r in &found.rows {
        if r.agrees() && r.place > LEADING {
            hidden += 1;
            continue;
        }
        let verdict = if r.agrees() { "" } else { "  DIFFERS" };
        let apart = if r.error.is_infinite() { "?".into() } else { format!("{:.2}", r.distance) };
        println!(
            "{:wide$}  {:>18.9e}  {:>18.9e}  {:>12.2e}  {apart} of {:.1}{verdict}",
            label(r),
            r.a,
            r.b,
            r.error,
            r.limit
        );
    }
    if hidden > 0 {
        println!("and {hidden} more values of spectra, which agree");
    }
    for (name, why) in &found.unlike {
        println!("{name} {why}");
    }
    for (head, only) in heads.iter().zip([&found.only_a, &found.only_b]) {
        if !only.is_empty() {
            println!("only in {head}: {}", only.join(", "));
        }
    }
}

fn document(options: &cli::Compare, found: &Comparison, agree: bool) -> Value {
    let rows = found.rows.iter().map(|r| {
        json!({
            "analysis": r.analysis, "what": r.what, "a": r.a, "b": r.b,
            "error": r.error, "distance": r.distance, "limit": r.limit, "agrees": r.agrees(),
        })
    });
    let unlike = found.unlike.iter().map(|(name, why)| json!({ "analysis": name, "why": why }));
    json!({
        "agree": agree,
        "files": [options.a.display().to_string(), options.b.display().to_string()],
        "rows": rows.collect::<Vec<_>>(),
        "unlike": unlike.collect::<Vec<_>>(),
        "only_a": found.only_a,
        "only_b": found.only_b,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apart_by_their_errors() {
        let r = |a, b, e: [f64; 2]| row(a, b, combined(e, 1e-9 * f64::max(a, b)), SIGMAS);
        assert!(r(1.0, 1.0 + 1e-10, [0.0; 2]).agrees() && r(0.0, 0.0, [0.0; 2]).agrees());
        // One standard error of both together is 5.
        assert!(r(100.0, 119.0, [3.0, 4.0]).agrees() && !r(100.0, 121.0, [3.0, 4.0]).agrees());
        assert!(!r(1.0, 1.0 + 1e-8, [0.0; 2]).agrees());
        assert!(r(1.0, 7.0, [f64::INFINITY, 0.0]).agrees() && r(1.0, 7.0, [f64::NAN, 0.0]).agrees());
        assert!(!r(1.0, f64::NAN, [0.1, 0.1]).agrees() && r(f64::NAN, f64::NAN, [0.0; 2]).agrees());
        assert!(r(f64::INFINITY, f64::INFINITY, [0.0; 2]).agrees() && !r(1.0, f64::INFINITY, [0.0; 2]).agrees());
    }

    #[test]
    fn the_halves_that_face_each_other_count() {
        // 10 from 9 to 14, and one above it from 1.96 below itself on.
        let interval = [9.0, 14.0];
        let of = |b: f64| {
            let errors = facing([&[10.0], &[b]], [&interval, &[b - Z, b + 9.0]]).unwrap();
            worst(&[10.0], &[b], [&errors[0], &errors[1]], 1e-9).unwrap()
        };
        let up = of(12.0);
        assert!((up.error - (4.0 / Z).hypot(1.0)).abs() < 1e-6, "{up:?}");
        // Below it is 9 up, and this one 1 down.
        let down = of(8.0);
        assert!((down.error - (1.0f64).hypot(9.0) / Z).abs() < 1e-6, "{down:?}");
        // No upper end allows whatever is above; what is below is told by the other one.
        let open = facing([&[1.0], &[5.0]], [&[0.5, f64::INFINITY], &[5.0, 5.0]]).unwrap();
        assert!(worst(&[1.0], &[5.0], [&open[0], &open[1]], 1e-9).unwrap().agrees());
        let shut = facing([&[1.0], &[-5.0]], [&[0.5, f64::INFINITY], &[-5.0, -5.0]]).unwrap();
        assert!(!worst(&[1.0], &[-5.0], [&shut[0], &shut[1]], 1e-9).unwrap().agrees());
        // A file of before has none, a list has none.
        assert_eq!(facing([&[1.0], &[1.0]], [&[], &[1.0, 1.0]]), None);
        assert_eq!(facing([&[1.0, 2.0], &[1.0, 2.0]], [&[1.0, 1.0], &[1.0, 1.0]]), None);
    }

    #[test]
    fn many_numbers_are_given_more_room() {
        let (a, b, e) = (vec![0.0; 10_000], vec![4.5; 10_000], vec![1.0; 10_000]);
        assert!(worst(&a, &b, [&e, &[]], 1e-9).unwrap().agrees());
        assert!(!worst(&a[..1], &b[..1], [&e, &[]], 1e-9).unwrap().agrees());
        assert_eq!(worst(&[], &[], [&[], &[]], 1e-9), None);
        let mut far = a.clone();
        far[77] = 8.0;
        assert!(!worst(&a, &far, [&e, &[]], 1e-9).unwrap().agrees());
    }
}
