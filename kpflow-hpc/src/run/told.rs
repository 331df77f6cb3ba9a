//! What a run says of itself: the fields of its events, and what a dry run tells.

use crate::cli;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::events::{self, Voice};
use crate::job::Job;
use crate::plan;
use crate::results::{Header, Record, ResultFile};
use serde_json::{json, Value};

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
    let first = |v: &Option<Vec<f64>>| v.as_ref().map(|v| v[..v.len().min(MOST)].to_vec());
    json!({
        "name": name, "operator": r.operator, "quantity": r.quantity, "method": r.method, "converged": r.converged,
        "matvecs": r.matvecs, "matvecs_computed": r.computed, "seconds": r.seconds, "status": r.status,
        "value": r.value, "standard_error": r.standard_error,
        "eigenvalues": first(&r.eigenvalues), "residuals": first(&r.residuals),
    })
}

/// Tells what a run would do. Collective; nothing is written.
pub(super) fn dry<T: Real>(
    job: &Job,
    options: &cli::Run,
    engine: &Engine,
    header: &Header,
    (bytes, voice): (f64, Voice),
) -> Result<()> {
    let grid = engine.grid();
    let there = || -> Result<String> {
        if options.resume && job.output.exists() {
            let done = ResultFile::finished(&job.output, header)?;
            let plural = if done.len() == 1 { "analysis" } else { "analyses" };
            return Ok(format!("is there, with {} finished {plural}; it would be gone on with", done.len()));
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
        let mut fields = started(job, header, options.resume, bytes);
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
    row("state", format!("[B, T, N] = [{b}, {t}, {n}], {precision}, seed {}", header.seed));
    row(
        "ranks",
        format!(
            "{}, {} × {} (trajectories × probes), of {} threads each",
            header.ranks, header.grid[0], header.grid[1], header.threads
        ),
    );
    row("memory", format!("about {:.0} MiB a rank", bytes / 1048576.0));
    row("output", format!("{} {there}", job.output.display()));
    print!("{out}\n{}\nNothing was computed, and nothing written.\n", plan::of_run(&plan));
    Ok(())
}

/// A machine too small for a job is, before it runs, a mistake in the job.
pub(super) fn before_it_runs(e: Error, job: &Job) -> Error {
    Error::input(e.file.as_deref().unwrap_or(&job.path), e.message)
}
