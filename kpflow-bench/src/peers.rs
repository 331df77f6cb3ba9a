//! The same products by others: PyTorch (`torch.func` and an explicit recurrence), curvlinops, neural-tangents. Same weights, same
//! probes, and the answers are compared.

use crate::case::{cell, with, Data};
use crate::clock::{middle, times, Clock};
use crate::size::Size;
use kpflow_core::ntk::Ntk;
use kpflow_core::{LinearOperator, Scalar};
use kpflow_hpc::engine::{Engine, Real};
use serde_json::{json, Value};
use std::path::Path;
use std::process::Command;

fn write<T: Scalar>(directory: &Path, name: &str, x: &[T]) -> std::io::Result<()> {
    let bytes: Vec<u8> = match std::mem::size_of::<T>() {
        4 => x.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()).collect(),
        _ => x.iter().flat_map(|x| x.f64().to_le_bytes()).collect(),
    };
    std::fs::write(directory.join(name), bytes)
}

/// Measures all peers that this machine's python3 has, on one GRU.
pub fn measure<T: Real>(engine: &Engine, size: Size, precision: &str, clock: Clock) -> Result<Value, String> {
    let cell = cell("gru");
    let data = Data::<T>::new(&cell, size);
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    // In turns with the fastest of the others, and once with all of them.
    let (mut ours, mut rounds) = (Vec::new(), Vec::new());
    with(engine, &cell, size, &data, |lin| -> std::io::Result<()> {
        let (s, m) = (lin.shape(), size.block);
        let ntk = Ntk::new(lin, engine);
        let x = crate::size::numbers::<T>(m * s.len(), 5, 1.0);
        let (mut y, mut scratch) = (vec![T::zero(); x.len()], vec![T::zero(); ntk.scratch_len(m)]);
        crate::case::apply(&ntk, m, &x, &mut y, &mut scratch);
        let files: [(&str, &[T]); 7] = [
            ("w_ih", &data.w_ih),
            ("w_hh", &data.w_hh),
            ("b_ih", &data.b_ih),
            ("b_hh", &data.b_hh),
            ("inputs", &data.inputs),
            ("x", &x),
            ("y", &y),
        ];
        files.iter().try_for_each(|(name, x)| write(directory.path(), name, x))?;
        let threads = kpflow_core::machine::Tasks::lanes(engine);
        for which in ["fast", "fast", "fast", "all"] {
            ours.extend(times(clock, || crate::case::apply(&ntk, m, &x, &mut y, &mut scratch)));
            rounds.push(others(directory.path(), size, precision, threads, clock, which));
        }
        Ok(())
    })
    .map_err(|e| e.to_string())?;
    let rounds = rounds.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut peers = rounds.last().cloned().unwrap_or_default();
    for (name, peer) in peers.as_object_mut().into_iter().flatten() {
        let times: Vec<f64> = rounds.iter().filter_map(|r| r[name]["seconds"].as_f64()).collect();
        if !times.is_empty() {
            peer["seconds"] = json!(middle(times));
        }
    }
    let Size { hidden, trajectories, steps, block, .. } = size;
    Ok(json!({
        "hidden": hidden, "trajectories": trajectories, "steps": steps, "block": block, "precision": precision,
        "kpflow_seconds": middle(ours), "peers": peers,
    }))
}

/// What peers.py measures of the files in a directory.
fn others(
    directory: &Path,
    size: Size,
    precision: &str,
    threads: usize,
    clock: Clock,
    which: &str,
) -> Result<Value, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peers/peers.py");
    let Size { hidden, trajectories, steps, inputs, block } = size;
    let numbers = [hidden, trajectories, steps, inputs, block, threads].map(|n| n.to_string());
    let seconds = format!("{}", 2.0 * clock.seconds);
    let mut run = Command::new("python3");
    let output = output(run.arg(script).arg(directory).arg(precision).args(numbers).args([&seconds, which]))?;
    serde_json::from_str(&output).map_err(|e| format!("peers.py wrote {output:?}: {e}"))
}

/// What a program prints, or why it failed.
fn output(run: &mut Command) -> Result<String, String> {
    let output = run.output().map_err(|e| format!("python3: {e}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("peers.py failed: {}", error.lines().last().unwrap_or("no message")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
