//! How near products with P, K and NTK come to what the machine can do, what whole answers take, and what others need for the same.
//!
//! `cargo run --release -p kpflow-bench` measures everything in one run (most of an hour on two cores) and writes a table,
//! `results.json` and `roofline.svg`; at the end it says of what was asked what holds. See `--help` for parts of it.

mod bars;
mod case;
mod clock;
mod jobs;
mod lines;
mod peers;
mod rates;
mod report;
mod size;

use case::{measure, CELLS};
use clap::{Parser, ValueEnum};
use clock::Clock;
use kpflow_hpc::blas;
use kpflow_hpc::comm::Comm;
use kpflow_hpc::engine::Engine;
use serde_json::{json, Value};
use size::SIZES;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures kpflow against the machine's own limit and against peers.
#[derive(Parser)]
struct Options {
    /// Seconds for every single measurement (at least five repetitions whatever they take).
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where results.json and roofline.svg go.
    #[arg(long, default_value = "target/kpflow-bench")]
    out: PathBuf,
    /// Only these parts.
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Part>,
    /// Only cells of this many hidden units, among the products.
    #[arg(long)]
    hidden: Option<usize>,
    /// Only this cell, among the products.
    #[arg(long)]
    cell: Option<String>,
    /// Measure nothing: say what holds of the results.json of an earlier run.
    #[arg(long, value_name = "FILE")]
    bars: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// P, Pᵀ, K and NTK of rnn, gru and lstm.
    Products,
    /// Whole answers.
    Jobs,
    /// Slopes against trajectories, steps and block, and the gain by threads.
    Lines,
    /// PyTorch and others.
    Peers,
}

/// Says what was asked and what holds, of all or of the parts that there are.
fn bars(report: &Value) -> Value {
    let bars = bars::bars(report);
    bars.iter().for_each(|bar| println!("{}", bar.line()));
    let holding = bars.iter().filter(|bar| bar.holds).count();
    println!("{holding} of {} hold", bars.len());
    bars.iter().map(bars::Bar::json).collect()
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(file) = &options.bars {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        bars(&serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?);
        return Ok(());
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let clock = Clock { seconds: options.seconds };
    let all = Engine::new(Comm::alone(), threads)?;
    let one = Engine::new(Comm::alone(), 1)?;
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let peak = (rates::peak::<f32>(&all, clock), rates::peak::<f64>(&all, clock));
    let bandwidth = rates::bandwidth(&all, clock);
    let mut report = json!({
        "blas": blas::name(), "threads": threads, "date": report::today(),
        "machine": { "cpu": report::cpu(), "gemm_f32": peak.0, "gemm_f64": peak.1, "bandwidth": bandwidth },
    });
    println!(
        "{} on {threads} threads of {}: {:.0} GFLOP/s f32, {:.0} GFLOP/s f64 (square products of 1024); {bandwidth:.0} GB/s",
        blas::name(),
        report::cpu(),
        peak.0,
        peak.1
    );
    if wanted(Part::Products) {
        let mut rows = Vec::new();
        for size in SIZES.into_iter().filter(|s| options.hidden.is_none_or(|h| h == s.hidden)) {
            for cell in CELLS.into_iter().filter(|c| options.cell.as_deref().is_none_or(|o| o == *c)) {
                let engines = if threads > 1 { vec![&all, &one] } else { vec![&one] };
                let single = engines.iter().map(|e| measure::<f32>(e, cell, size, "f32", clock));
                let double = engines.iter().map(|e| measure::<f64>(e, cell, size, "f64", clock));
                for row in single.chain(double).flatten() {
                    println!("{}", report::product(&row));
                    rows.push(row);
                }
            }
        }
        report["products"] = Value::Array(rows);
    }
    if wanted(Part::Jobs) {
        let mut rows = jobs::measure(&all, "gru_paper", "gru_paper", "", clock)?;
        rows.extend(jobs::measure(&all, "memory_pro", "memory_pro.step1500", "rnn.", clock)?);
        rows.iter().for_each(|row| println!("{}", report::job(row)));
        report["jobs"] = Value::Array(rows);
    }
    if wanted(Part::Lines) {
        let rows = lines::measure(&all, clock);
        rows.iter().for_each(|row| println!("{}", report::line(row)));
        report["lines"] = Value::Array(rows);
        let mut rows = lines::gains::<f32>(&all, &one, "f32", clock);
        rows.extend(lines::gains::<f64>(&all, &one, "f64", clock));
        rows.iter().for_each(|row| println!("{}", report::gain(row, threads)));
        report["gains"] = Value::Array(rows);
    }
    if wanted(Part::Peers) {
        let mut rows = Vec::new();
        let paper = size::Size { hidden: 64, trajectories: 15, steps: 50, inputs: 10, block: 32 };
        for size in [paper, SIZES[1]] {
            for precision in ["f32", "f64"] {
                let row = match precision {
                    "f32" => peers::measure::<f32>(&all, size, precision, clock),
                    _ => peers::measure::<f64>(&all, size, precision, clock),
                };
                match row {
                    Ok(row) => {
                        report::peers(&row).iter().for_each(|line| println!("{line}"));
                        rows.push(row);
                    }
                    Err(e) => println!("no peers: {e}"),
                }
            }
        }
        report["peers"] = Value::Array(rows);
    }
    report["bars"] = bars(&report);
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("results.json"), serde_json::to_string_pretty(&report)?)?;
    report::roofline(&options.out.join("roofline.svg"), &report)?;
    println!("{} and roofline.svg written", options.out.join("results.json").display());
    Ok(())
}

/// Blocks begin at a line of the cache: products are faster so.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() -> ExitCode {
    blas::choose_kernels();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("kpflow-bench: {e}");
            ExitCode::FAILURE
        }
    }
}
