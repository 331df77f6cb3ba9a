//! What was asked of the program's speed, and whether a run shows it.

use crate::case::cell;
use crate::report::{number, text};
use serde_json::{json, Value};

/// What is asked of NTK products, by the hidden units: the least fraction of the rate of matrix products at the sizes used, in f32 and f64.
const GATED: [(f64, [f64; 2]); 3] = [(64.0, [0.60, 0.50]), (256.0, [0.85, 0.80]), (1024.0, [0.80, 0.80])];
/// The same of an rnn, with a third of a GRU's arithmetic a unit.
const PLAIN: [(f64, [f64; 2]); 3] = [(64.0, [0.40, 0.35]), (256.0, [0.75, 0.70]), (1024.0, [0.75, 0.70])];
/// How many times as fast as the best of torch.func, by the hidden units.
const TORCH: [(f64, f64); 2] = [(64.0, 6.0), (256.0, 5.0)];
/// How many times as fast as the best explicit recurrence in PyTorch.
const EXPLICIT: f64 = 1.5;
/// The exact trace of gru_paper, in products of its NTK.
const EXACT_TRACE: f64 = 120.0;
/// How far measured memory may be from the predicted.
const MEMORY: f64 = 0.10;
/// How far slopes on log axes may be from 1.
const SLOPE: f64 = 0.05;
/// How many times as fast two threads are as one.
const GAIN: f64 = 1.8;

/// A thing that was asked, and what was measured.
#[derive(Debug)]
pub struct Bar {
    what: String,
    asked: String,
    measured: String,
    /// Whether it is as asked.
    pub holds: bool,
}

impl Bar {
    /// As a line of a table.
    pub fn line(&self) -> String {
        let Self { what, asked, measured, holds } = self;
        format!("{}  {what:62} asked {asked:>12}, measured {measured}", if *holds { "holds " } else { "MISSED" })
    }
    /// As an entry of results.json.
    pub fn json(&self) -> Value {
        json!({ "what": self.what, "asked": self.asked, "measured": self.measured, "holds": self.holds })
    }
}

fn at_least(what: String, asked: f64, measured: f64) -> Bar {
    Bar { what, asked: format!("≥ {asked}"), measured: format!("{measured:.2}"), holds: measured >= asked }
}

fn at_most(what: String, asked: f64, measured: f64) -> Bar {
    Bar { what, asked: format!("≤ {asked}"), measured: format!("{measured:.2}"), holds: measured <= asked }
}

fn about_one(what: String, off: f64, measured: f64) -> Bar {
    let holds = (measured - 1.0).abs() <= off;
    Bar { what, asked: format!("1 ± {off}"), measured: format!("{measured:.3}"), holds }
}

fn rows<'r>(report: &'r Value, part: &str) -> impl Iterator<Item = &'r Value> {
    report[part].as_array().into_iter().flatten()
}

/// What was asked of a run's results, of the parts that it has.
pub fn bars(report: &Value) -> Vec<Bar> {
    let mut bars: Vec<Bar> =
        rows(report, "products").filter_map(|row| fraction(row, number(report, "threads"))).collect();
    bars.extend(memory(report));
    bars.extend(sweep(report));
    let exact_trace = |r: &&Value| text(r, "model") == "gru_paper" && text(r, "job") == "exact trace";
    bars.extend(rows(report, "jobs").filter(exact_trace).map(|r| {
        at_most("exact trace of gru_paper, in products of its NTK".into(), EXACT_TRACE, number(r, "in_products"))
    }));
    bars.extend(rows(report, "lines").map(|r| {
        about_one(format!("time against {}, slope on log axes", text(r, "against")), SLOPE, number(r, "slope"))
    }));
    // One thread more should be worth 0.8 of one.
    let gain = 1.0 + (GAIN - 1.0) * (number(report, "threads") - 1.0);
    bars.extend(rows(report, "gains").map(|r| {
        let what = format!("all threads, times as fast as one: gru {} {}", number(r, "hidden"), text(r, "precision"));
        at_least(what, gain, number(r, "gain"))
    }));
    bars.extend(rows(report, "peers").flat_map(peers));
    bars
}

/// The fraction that a whole NTK product reaches, on all threads.
fn fraction(row: &Value, threads: f64) -> Option<Bar> {
    if text(row, "operator") != "NTK" || number(row, "threads") != threads {
        return None;
    }
    let (cell, hidden, precision) = (text(row, "cell"), number(row, "hidden"), text(row, "precision"));
    let table = if cell == "rnn" { PLAIN } else { GATED };
    let asked = table.iter().find(|(h, _)| *h == hidden)?.1[usize::from(precision == "f64")];
    let what = format!("fraction of the rate of matrix products: NTK of {cell} {hidden} {precision}");
    Some(at_least(what, asked, number(row, "of_used")))
}

/// The worst of all products' memory.
fn memory(report: &Value) -> Option<Bar> {
    let off = |row: &Value| number(row, "measured_bytes") / number(row, "predicted_bytes");
    let worst = rows(report, "products").map(off).max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()))?;
    Some(about_one("memory, times the predicted, where it is furthest off".into(), MEMORY, worst))
}

/// The most that a sweep needs beside the block that it reads and the one that it writes, of (gates + 3)·block·N·B·T numbers.
fn sweep(report: &Value) -> Option<Bar> {
    let share = |row: &Value| {
        let gates = cell(text(row, "cell")).gates() as f64;
        (number(row, "sweep_numbers_per_block_nbt") - 2.0) / (gates + 3.0)
    };
    let sweeps = rows(report, "products").filter(|r| matches!(text(r, "operator"), "P" | "Pᵀ"));
    let most = sweeps.map(share).max_by(f64::total_cmp)?;
    Some(at_most("memory of a sweep, of (gates + 3)·block·N·B·T numbers".into(), 1.0, most))
}

/// The best of torch.func and the best explicit recurrence, where they were there.
fn peers(row: &Value) -> Vec<Bar> {
    let (hidden, ours) = (number(row, "hidden"), number(row, "kpflow_seconds"));
    let best = |name: &str| {
        let named = row["peers"].as_object().into_iter().flatten().filter(|(peer, _)| peer.starts_with(name));
        named.filter_map(|(_, r)| r["seconds"].as_f64()).min_by(f64::total_cmp)
    };
    let asked = TORCH.iter().find(|(h, _)| *h == hidden).map(|t| t.1);
    [("torch.func", asked), ("PyTorch, explicit recurrence", Some(EXPLICIT))]
        .into_iter()
        .filter_map(|(name, asked)| {
            let what = format!("times as fast as {name}: gru {hidden} {}", text(row, "precision"));
            Some(at_least(what, asked?, best(name)? / ours))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bars;
    use serde_json::{json, Value};

    /// The run that README and DevNotes.md tell of.
    fn published() -> Value {
        serde_json::from_str(include_str!("../results/results.json")).unwrap()
    }

    #[test]
    fn the_published_run_is_as_asked() {
        let bars = bars(&published());
        // Products, memory and a sweep's, exact trace, slopes, gains, peers.
        assert_eq!(bars.len(), 18 + 2 + 1 + 3 + 6 + 8);
        let missed: Vec<String> = bars.iter().filter(|b| !b.holds).map(super::Bar::line).collect();
        assert!(missed.is_empty(), "{missed:#?}");
    }

    #[test]
    fn what_is_worse_than_asked_is_missed() {
        let missed = |change: &dyn Fn(&mut Value)| {
            let mut report = published();
            change(&mut report);
            bars(&report).iter().filter(|b| !b.holds).count()
        };
        assert_eq!(missed(&|r| r["jobs"][0]["in_products"] = json!(121.0)), 1);
        assert_eq!(missed(&|r| r["lines"][1]["slope"] = json!(0.94)), 1);
        assert_eq!(missed(&|r| r["gains"][2]["gain"] = json!(1.79)), 1);
        assert_eq!(missed(&|r| r["products"][0]["measured_bytes"] = json!(1.0)), 1);
        assert_eq!(
            missed(&|r| r["products"].as_array_mut().unwrap().iter_mut().for_each(|p| p["of_used"] = json!(0.3))),
            18
        );
        // Of the best of each peer: 6 and 1.5 times as fast at one size, 5 and 1.5 at the other.
        assert_eq!(missed(&|r| r["peers"][0]["kpflow_seconds"] = json!(1.0)), 2);
        assert_eq!(missed(&|r| r["peers"] = json!([])), 0);
        // A number that is not there is none that holds.
        assert_eq!(missed(&|r| r["gains"][2]["gain"] = Value::Null), 1);
    }
}
