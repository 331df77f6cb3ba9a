//! A plan as a person reads it, and as a program does.

use super::{Column, Plan, Planned};
use crate::results::table::aligned;
use crate::spelling::{number_of, plural};
use crate::words::seconds;
use serde_json::{json, Value};
use std::fmt::Write;

/// A number with a prefix of thousands.
fn short(x: f64, unit: &str) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P", "E"];
    let i = if x >= 1000.0 { ((x.log10() / 3.0) as usize).min(6) } else { 0 };
    let x = x / 1000f64.powi(i as i32);
    let digits = if i == 0 && x.fract() == 0.0 || x >= 99.95 { 0 } else { 1 };
    format!("{x:.digits$} {}{unit}", prefixes[i]).trim_end().to_string()
}

/// Bytes in powers of two.
fn bytes(x: f64) -> String {
    let (value, unit) = match x {
        _ if x >= (1u64 << 40) as f64 => (x / (1u64 << 40) as f64, "TiB"),
        _ if x >= (1u64 << 30) as f64 => (x / (1u64 << 30) as f64, "GiB"),
        _ if x >= (1u64 << 20) as f64 => (x / (1u64 << 20) as f64, "MiB"),
        _ => (x / 1024.0, "KiB"),
    };
    format!("{value:.1} {unit}")
}

/// Least to most.
fn range(least: f64, most: f64) -> String {
    let number = |x: f64| if x < 1e6 { format!("{x:.0}") } else { short(x, "") };
    span(number(least), number(most), "–")
}

/// Least to most, or one where they read the same.
fn span(least: String, most: String, dash: &str) -> String {
    if least == most {
        least
    } else {
        format!("{least}{dash}{most}")
    }
}

/// Least to most of a time.
fn between(least: f64, most: f64) -> String {
    span(seconds(least), seconds(most), " – ")
}

/// How the sums of K go over ranks: a word, and a sentence.
fn side(c: &Column) -> (&'static str, String) {
    match c.gram_parts {
        (0, _) => ("weight", "changes of the weights are summed over ranks".into()),
        (grams, all) if grams == all => ("gram", "positions are gathered from all ranks (Gram side)".into()),
        (grams, all) => {
            let weights = all - grams;
            let what = format!(
                "changes of {weights} weights are summed over ranks, positions of {grams} are gathered (Gram side)"
            );
            ("mixed", what)
        }
    }
}

/// A row's first cells: which analysis, what of, how, and its products.
fn row(a: &Planned) -> Vec<String> {
    let what = format!("{} {}", a.name[1], a.name[2]);
    vec![a.name[0].clone(), what, a.method.to_string(), range(a.least.products, a.most.products)]
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| w.to_string()).collect()
}

/// The plan for a person.
pub(super) fn text(plan: &Plan) -> String {
    let [b, t, n] = plan.shape;
    let c = &plan.columns[plan.chosen];
    let mut out = String::new();
    let parameters = short(plan.parameters as f64, "");
    let _ = writeln!(out, "{} with {parameters} parameters, state [{b}, {t}, {n}], {}", plan.model, plan.precision);
    let (speed, net) = (&plan.speed, &plan.network);
    let rates = if speed.whole == speed.blocks {
        short(speed.whole, "FLOP/s")
    } else {
        format!("{} (block diagonal {})", short(speed.whole, "FLOP/s"), short(speed.blocks, "FLOP/s"))
    };
    let _ = writeln!(
        out,
        "a rank: {}, blocks of {} vectors; products at {rates}, other work at {} ({})",
        number_of(plan.threads, "thread"),
        plan.block,
        short(speed.flops, "FLOP/s"),
        speed.source
    );
    let _ = writeln!(out, "network: {:.2} µs, {:.2} GB/s ({})", net.latency * 1e6, net.bandwidth * 1e-9, net.source);
    let grid = |[t, p]: [usize; 2]| if p > 1 { format!("{t}x{p}") } else { t.to_string() };
    let _ = writeln!(out, "\non {} {}, of each at most; {}:", grid(c.grid), plural(c.ranks(), "rank"), side(c).1);
    let head = ["analysis", "what", "method", "products", "flops", "bytes sent", "messages", "memory", "time"];
    let mut rows = vec![words(&head)];
    rows.extend(c.analyses.iter().map(|a| {
        let mut cells = row(a);
        cells.extend([
            short(a.most.flops, ""),
            bytes(a.most.bytes),
            range(a.most.messages, a.most.messages),
            bytes(a.memory),
            seconds(a.most.seconds()),
        ]);
        cells
    }));
    out += &aligned(&rows, 3);
    let _ = writeln!(out, "\nall analyses, by ranks ({b} trajectories are divided, and where ranks are many the vectors of a block too: trajectories × probes):");
    let head = [
        "ranks",
        "trajectories",
        "memory a rank",
        "bytes sent",
        "messages",
        "computing",
        "sending",
        "time",
        "efficiency",
    ];
    let mut rows = vec![words(&head)];
    let one = plan.columns[0].most().seconds() * plan.columns[0].ranks() as f64;
    for (i, c) in plan.columns.iter().enumerate() {
        let most = c.most();
        let mut row = vec![
            grid(c.grid),
            c.trajectories.to_string(),
            bytes(c.memory),
            bytes(most.bytes),
            range(most.messages, most.messages),
            seconds(most.computing),
            seconds(most.sending),
            seconds(most.seconds()),
            format!("{:.0} %", 100.0 * one / (most.seconds() * c.ranks() as f64)),
        ];
        let idle = c.grid[0].saturating_sub(b.max(1)) * c.grid[1];
        let notes = [
            (i == plan.best).then(|| "best".to_string()),
            (idle > 0).then(|| {
                format!("{} {} nothing to do", number_of(idle, "rank"), if idle == 1 { "has" } else { "have" })
            }),
        ];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        if !notes.is_empty() {
            row.push(format!("← {}", notes.join("; ")));
        }
        rows.push(row);
    }
    out += &aligned(&rows, 0);
    if plan.stages > 1 {
        let (n, best) = (plan.stages, &plan.columns[plan.best]);
        let time = seconds(n as f64 * best.most().seconds());
        let _ = writeln!(out, "\nThis is the last of {n} stages, which has most to do; all of them, one after the other, take {time} on {} ranks.", best.ranks());
    }
    let notes = "\nEverything is for the rank with most to do, and for analyses that spend all products allowed: they may stop at the first of the numbers\n\
                 given.";
    let _ = writeln!(out, "{notes}");
    if let Some((better, time)) = plan.faster {
        let _ =
            writeln!(out, "On {} ranks --grid {}x{} would take {}.", c.ranks(), better[0], better[1], seconds(time));
    }
    out
}

/// What a run as it is asked for would do, for a person.
pub fn of_run(plan: &Plan) -> String {
    let c = &plan.columns[plan.chosen];
    let mut rows = vec![words(&["analysis", "what", "method", "products", "memory", "time"])];
    rows.extend(c.analyses.iter().map(|a| {
        let mut cells = row(a);
        cells.extend([bytes(a.memory), between(a.least.seconds(), a.most.seconds())]);
        cells
    }));
    let all = between(c.least().seconds(), c.most().seconds());
    aligned(&rows, 3) + &format!("  all of them, and reading: {all} (rates measured just now)\n")
}

/// The same for a program.
pub fn of_run_json(plan: &Plan) -> Value {
    column(&plan.columns[plan.chosen])
}

fn analysis(a: &Planned) -> Value {
    json!({
        "name": a.name[0], "operator": a.name[1], "quantity": a.name[2], "method": a.method,
        "products": [a.least.products, a.most.products],
        "flops": a.most.flops, "bytes_sent": a.most.bytes, "messages": a.most.messages, "memory_bytes": a.memory,
        "seconds": [a.least.seconds(), a.most.seconds()],
    })
}

fn column(c: &Column) -> Value {
    let most = c.most();
    json!({
        "ranks": c.ranks(), "grid": c.grid, "trajectories": c.trajectories, "side": side(c).0,
        "memory_bytes": c.memory, "flops": most.flops, "bytes_sent": most.bytes, "messages": most.messages,
        "computing_seconds": most.computing, "sending_seconds": most.sending, "seconds": most.seconds(),
        "least_seconds": c.least().seconds(),
        "analyses": c.analyses.iter().map(analysis).collect::<Vec<_>>(),
    })
}

/// The plan for a program.
pub(super) fn json(plan: &Plan) -> String {
    let value = json!({
        "model": plan.model, "parameters": plan.parameters, "shape": plan.shape, "precision": plan.precision,
        "threads": plan.threads, "block": plan.block,
        "speed": { "gemm_flops": plan.speed.flops, "product_flops": plan.speed.whole,
                   "block_diagonal_flops": plan.speed.blocks, "source": plan.speed.source },
        "network": { "latency_seconds": plan.network.latency, "bytes_per_second": plan.network.bandwidth,
                     "source": plan.network.source },
        "best_ranks": plan.columns[plan.best].ranks(), "chosen_ranks": plan.columns[plan.chosen].ranks(),
        "stages": plan.stages, "best_seconds_of_all_stages": plan.stages as f64 * plan.columns[plan.best].most().seconds(),
        "faster_grid": plan.faster.map(|f| f.0),
        "table": plan.columns.iter().map(column).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::{bytes, range, short};

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (short(0.0, ""), short(999.0, ""), short(1.5e9, "FLOP/s")),
            ("0".into(), "999".into(), "1.5 GFLOP/s".into())
        );
        assert_eq!((bytes(1024.0), bytes(3.5 * 1073741824.0)), ("1.0 KiB".into(), "3.5 GiB".into()));
        assert_eq!((range(3.0, 3.0), range(12.0, 100.0)), ("3".into(), "12–100".into()));
    }
}
