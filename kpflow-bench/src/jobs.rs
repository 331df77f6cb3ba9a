//! Whole answers: the exact trace, the trace to one per cent, twenty eigenpairs.

use crate::clock::{median, Clock};
use kpflow_core::ntk::{Coupling, Ntk, Side};
use kpflow_core::LinearOperator;
use kpflow_estimate::{self as estimate, Budget, Problem};
use kpflow_hpc::closed::{self, Closed};
use kpflow_hpc::engine::Engine;
use kpflow_hpc::error::Result;
use kpflow_hpc::job::Job;
use kpflow_hpc::model::Loaded;
use serde_json::{json, Value};
use std::path::Path;

/// What a model of the golden data takes, in seconds and in products of its NTK.
pub fn measure(engine: &Engine, name: &str, weights: &str, prefix: &str, clock: Clock) -> Result<Vec<Value>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let text = format!(
        "[model]\nkind = \"gru\"\nweights = \"{weights}.safetensors\"\nprefix = \"{prefix}\"\n[data]\ninputs = \"{name}.h5:/inputs\"\n\
         [[analysis]]\nname = \"x\"\nquantity = \"trace\"\n"
    );
    let job = Job::parse(&golden.join("job.toml"), text)?;
    let loaded = Loaded::<f64>::load(&job, engine)?;
    loaded.linearized(loaded.weights(), engine, |lin| {
        let (shape, m) = (lin.shape(), loaded.block);
        let ntk = Ntk::new(lin, engine);
        let diagonal = Ntk::with(lin, engine, Coupling::PerTrajectory, Side::Weight);
        let x = crate::size::numbers::<f64>(m * shape.len(), 5, 1.0);
        let (mut y, mut scratch) = (vec![0.0; x.len()], vec![0.0; ntk.scratch_len(m)]);
        let product = median(clock, || {
            crate::case::apply(&ntk, m, &x, &mut y, &mut scratch);
        }) / m as f64;
        let quiet = |_: usize, _: f64, _: f64| ();
        fn problem<'p>(
            op: &'p dyn LinearOperator<f64>,
            engine: &'p Engine,
            (trajectories, block): (usize, usize),
            quiet: &'p dyn Fn(usize, f64, f64),
        ) -> Problem<'p, f64, Engine> {
            Problem::new(op, engine, (0, trajectories), 1, block, quiet)
        }
        let (size, mut rows) = ((shape.trajectories, m), Vec::new());
        let mut row = |what: &str, seconds: f64, found: Value| {
            rows.push(json!({
                "model": weights, "job": what, "seconds": seconds, "in_products": seconds / product,
                "product_seconds": product, "found": found,
            }));
        };
        let truth = closed::exact_trace(lin, engine, Closed::Ntk)?.value;
        let seconds = median(clock, || drop(closed::exact_trace(lin, engine, Closed::Ntk)));
        row("exact trace", seconds, json!({ "value": truth }));
        let budget = Budget { rtol: 0.01, max_matvecs: 3000 };
        let run = || estimate::per_trajectory_xnystrace(&problem(&diagonal, engine, size, &quiet), &budget);
        let found = run()?;
        let seconds = median(clock, || drop(run()));
        let error = found.value / truth - 1.0;
        row("trace to 1 %", seconds, json!({ "value": found.value, "error": error, "products": found.matvecs }));
        let budget = Budget { rtol: 1e-6, max_matvecs: 3000 };
        let run = || estimate::block_krylov(&problem(&ntk, engine, size, &quiet), &budget, 20);
        let found = run()?;
        let seconds = median(clock, || drop(run()));
        let worst = found.residuals.iter().copied().fold(0.0, f64::max);
        row("20 eigenpairs to 1e-6", seconds, json!({ "worst_residual": worst, "products": found.matvecs }));
        Ok(rows)
    })?
}
