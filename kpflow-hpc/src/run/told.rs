//! What a run says of itself: the fields of its events, and what a dry run tells.

use super::made_of::Making;
use crate::analysis::outputs::{EIGENVALUES, RESIDUALS};
use crate::analysis::shown::Line;
use crate::analysis::Quantity;
use crate::cli;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::events::{self, Voice};
use crate::job::Job;
use crate::model::Loaded;
use crate::network::names_of;
use crate::plan;
use crate::results::table::ends;
use crate::results::{Header, Past, Record, ResultFile, Spent};
use crate::spelling::number_of;
use kpflow_core::model::Linearization;
use serde_json::{json, Value};
use std::time::Duration;

/// Eigenvalues of an event, at most: all of them are in the result file.
const MOST: usize = 100;

/// The fields of `started`.
pub(super) fn started(job: &Job, header: &Header, resume: bool, bytes: f64) -> Value {
    json!({
        "job": job.path.display().to_string(), "output": job.output.display().to_string(), "resume": resume,
        "model": header.model, "parameters": header.parameters, "shape": header.shape, "precision": header.precision,
        "seed": header.seed, "ranks": header.ranks, "grid": header.grid, "threads": header.threads,
        "memory_bytes": bytes, "analyses": job.analyses.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
    })
}

/// The fields of `analysis_finished`.
pub(super) fn finished<T>(name: &str, r: &Record<T>) -> Value {
    let first = |name: &str| Some(r.list(name)).filter(|v| !v.is_empty()).map(|v| &v[..v.len().min(MOST)]);
    json!({
        "name": name, "operator": r.operator, "quantity": r.quantity, "method": r.method, "converged": r.converged,
        "matvecs": r.matvecs, "matvecs_computed": r.computed, "seconds": r.seconds, "status": r.status,
        "memory": r.memory, "bytes_sent": r.bytes_sent,
        "value": r.value, "standard_error": r.standard_error, "interval": r.interval,
        "eigenvalues": first(EIGENVALUES.name), "residuals": first(RESIDUALS.name),
    })
}

/// The fields of `finished`.
pub(super) fn ended(job: &Job, after: Duration, spent: &Spent) -> Value {
    let Spent { peak_memory, bytes_sent, messages, waited_seconds } = spent;
    json!({
        "output": job.output.display().to_string(), "seconds": after.as_secs_f64(),
        "peak_memory": peak_memory, "bytes_sent": bytes_sent, "messages": messages, "waited_seconds": waited_seconds,
    })
}

/// The first line: what is run, on what.
pub(super) fn head(header: &Header, bytes: f64) -> String {
    let Header { model, parameters, shape, ranks, grid, threads, variables, .. } = header;
    let steps = of_steps(header.lengths.as_deref());
    let of = names_of(variables);
    let groups = if grid[1] > 1 { format!(" in {} groups", grid[1]) } else { String::new() };
    let memory = bytes / 1048576.0;
    let (ranks, threads) = (number_of(*ranks, "rank"), number_of(*threads, "thread"));
    format!("{model} with {parameters} parameters, state {shape:?}{of}{steps}; {ranks}{groups} × {threads}, at most {memory:.0} MiB a rank")
}

/// What is said of a state's trajectories where they have steps of their own.
fn of_steps(lengths: Option<&[usize]>) -> String {
    let ends = lengths.and_then(|l| Some((l.iter().min()?, l.iter().max()?)));
    ends.map_or(String::new(), |(least, most)| format!(" of trajectories of {least} to {most} steps"))
}

/// What `--verbose` tells before the first analysis: how products are made.
pub(super) fn how<T: Real>(loaded: &Loaded<T>, lin: &Linearization<'_, T>) {
    let (blas, block, tile, flops) = (crate::blas::name(), loaded.block, lin.tile(), loaded.product_flops / 1e9);
    eprintln!("products by {blas}; blocks of {block} vectors, tiles of {tile} trajectories, {flops:.3} GFLOP a product of NTK with one vector");
    let (arena, n) = (Linearization::arena_len(lin.graph(), loaded.shape.trajectories), loaded.shape.len());
    eprintln!("the model's memory is {arena} numbers on this rank, a vector's {n}");
    if let Some((ranks, bytes)) = loaded.shared() {
        let size = bytes as f64 / 1048576.0;
        eprintln!("the {ranks} ranks of this node hold the weights once between them, {size:.0} MiB");
    }
}

/// What `--verbose` tells after the last.
pub(super) fn needed(spent: &Spent) {
    let Spent { peak_memory, bytes_sent, messages, waited_seconds } = spent;
    let peak = *peak_memory as f64 / 1048576.0;
    eprintln!("a rank needed {peak:.0} MiB at most, sent {bytes_sent} bytes in {messages} messages, and waited {waited_seconds:.2} s for sums within operators");
}

/// Tells what a run would do. Collective; nothing is written.
pub(super) fn dry<T: Real>(
    job: &Job,
    options: &cli::Run,
    engine: &Engine,
    (header, making): (&Header, &Making),
    (bytes, voice): (f64, Voice),
) -> Result<()> {
    let grid = engine.grid();
    let there = || -> Result<String> {
        if options.resuming() && job.output.exists() {
            let past = Past::read(&job.output, &header.made_of, &making.analyses)?;
            if !options.redo {
                past.require_same(&job.output)?;
            }
            let (done, again) = (past.finished.len(), past.stale.len());
            let plural = if done == 1 { "analysis" } else { "analyses" };
            let again = if again > 0 { format!(", {again} would be made again") } else { String::new() };
            return Ok(format!("is there, with {done} finished {plural}; it would be gone on with{again}"));
        }
        ResultFile::could_create(&job.output)?;
        Ok(if job.output.exists() { "is there, and would be replaced" } else { "would be made" }.into())
    };
    let there = grid.agree(there())?;
    let asked = cli::Plan {
        job: job.path.clone(),
        ranks: None,
        threads: options.threads,
        grid: Some([grid.size(), grid.probes()]),
        network: None,
        gflops: None,
        json: false,
    };
    let plan = grid.agree(plan::plan_in::<T>(job, &asked, engine))?;
    if !voice.0 {
        return Ok(());
    }
    if events::is_json() {
        let mut fields = started(job, header, options.resuming(), bytes);
        fields["plan"] = plan::of_run_json(&plan);
        fields["output_state"] = there.clone().into();
        events::emit("dry_run", fields);
    }
    let mut out = String::new();
    let mut row = |what: &str, text: String| out += &format!("{what:<10}{text}\n");
    let Header { model, parameters, shape: [b, t, n], precision, .. } = header;
    row("job", job.path.display().to_string());
    row("model", format!("{model}, {parameters} parameters, {}", job.model.weights.display()));
    for (name, source) in &job.inputs {
        let (name, set) = (name.as_ref().map_or(String::new(), |n| format!("{n} = ")), source.dataset.as_deref());
        row("inputs", format!("{name}{}{}", source.path.display(), set.map_or(String::new(), |d| format!(":{d}"))));
    }
    let steps = of_steps(header.lengths.as_deref());
    row("state", format!("[B, T, N] = [{b}, {t}, {n}]{steps}, {precision}, seed {}", header.seed));
    row(
        "ranks",
        format!(
            "{}, {} × {} (trajectories × probes), of {} each",
            header.ranks,
            header.grid[0],
            header.grid[1],
            number_of(header.threads, "thread")
        ),
    );
    row("memory", format!("at most {:.0} MiB a rank", bytes / 1048576.0));
    row("output", format!("{} {there}", job.output.display()));
    print!("{out}\n{}\nNothing was computed, and nothing written.\n", plan::of_run(&plan));
    Ok(())
}

/// A machine too small for a job is, before it runs, a mistake in the job.
pub(super) fn before_it_runs(e: Error, job: &Job) -> Error {
    Error::input(e.file.as_deref().unwrap_or(&job.path), e.message)
}

/// What a person reads of one analysis.
pub(super) fn line<T>(name: &str, quantity: &Quantity, r: &Record<T>) -> String {
    let few = |values: &[f64]| {
        let first: Vec<String> = values.iter().take(5).map(|v| format!("{v:.6e}")).collect();
        format!("{}{}", first.join(" "), if values.len() > 5 { " …" } else { "" })
    };
    let residuals = || r.list(RESIDUALS.name).iter().fold(0.0, |a: f64, &b| a.max(b));
    let number = |v: f64| match r.standard_error {
        Some(e) if e > 0.0 => format!("{v:.8e} ± {e:.1e}{}", ends(v, r.interval, |x| format!("{x:.4e}"))),
        _ => format!("{v:.12e}"),
    };
    let value = r.value.map_or(String::new(), number);
    let value = match quantity.line {
        Line::Value => value,
        Line::Words(words) => format!("{words} {value}"),
        Line::Leading(list) => format!("{} (residuals ≤ {:.1e})", few(r.list(list)), residuals()),
        Line::Matrix(name) => match r.arrays.iter().find(|a| a.0 == name) {
            Some((_, shape, _)) => format!("a matrix {shape:?} of trace {value}"),
            None => format!("a matrix of trace {value}"),
        },
    };
    let Record { operator, method, matvecs, computed, seconds, status, .. } = r;
    let new = if computed == matvecs { String::new() } else { format!(" ({computed} of them new)") };
    let quantity = quantity.name;
    format!("{name}: {operator} {quantity} ({method}) = {value}; {matvecs} products{new}, {seconds:.2} s, {status}")
}
