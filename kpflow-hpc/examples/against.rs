//! Compares what this program computes of a job with values that another computed: `against JOB.toml REFERENCE.h5 [TANGENT VJP]`.
//!
//! REFERENCE has any of `state` (or `output`), `probe`, and under `reference/`: `ntk/apply`, `ntk/trace`, `ntk/frobenius`, `jvp`. TANGENT and
//! VJP are checkpoints like the job's: a direction in the weights, of which `jvp` is the image, and the pull-back of the first probe.

use kpflow_core::ntk::{Coupling, Ntk, ParameterJacobian, Side};
use kpflow_core::{BlockMut, BlockRef, LinearOperator};
use kpflow_hpc::comm::Comm;
use kpflow_hpc::engine::Engine;
use kpflow_hpc::error::{Error, Result};
use kpflow_hpc::job::{Job, Precision};
use kpflow_hpc::model::Loaded;
use kpflow_hpc::network::OwnedWeight;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is compared, and how far it may be off.
struct Reference {
    file: hdf5::File,
    tolerance: f64,
    failed: bool,
}

impl Reference {
    fn read(&self, name: &str) -> Option<Vec<f64>> {
        self.file.dataset(name).ok()?.read_raw::<f64>().ok()
    }

    fn compare(&mut self, what: &str, found: &[f64], expected: &[f64]) {
        let norm = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let good = found.len() == expected.len() && off <= self.tolerance * norm;
        println!("{} {what}: {:.1e} ({} numbers)", if good { "ok    " } else { "FAILED" }, off / norm, expected.len());
        self.failed |= !good;
    }
}

fn apply(op: &dyn LinearOperator<f64>, x: &[f64], adjoint: bool) -> Vec<f64> {
    let (from, to) = if adjoint { (op.codomain(), op.domain()) } else { (op.domain(), op.codomain()) };
    let (mut y, mut scratch) = (vec![f64::NAN; to.len()], vec![f64::NAN; op.scratch_len(1)]);
    let (x, out) = (BlockRef::new(from, 1, x).unwrap(), BlockMut::new(to, 1, &mut y).unwrap());
    match adjoint {
        true => op.apply_adjoint(x, out, &mut scratch),
        false => op.apply(x, out, &mut scratch),
    }
    .unwrap();
    y
}

/// θ of a network of these weights.
fn theta(weights: &[OwnedWeight<f64>]) -> Vec<f64> {
    let mut weights = weights.to_vec();
    weights.iter_mut().flat_map(|w| w.parts_mut()).flat_map(|part| part.to_vec()).collect()
}

fn work(arguments: &[String]) -> Result<bool> {
    let [job, reference, rest @ ..] = arguments else {
        return Err(Error::usage("against JOB REFERENCE [TANGENT VJP]"));
    };
    let mut job = Job::read(Path::new(job))?;
    // Checkpoints in single precision are compared in double: what is asked for is the mathematics.
    let tolerance = if job.precision == Precision::F64 { 1e-9 } else { 1e-6 };
    let engine = Engine::new(Comm::alone(), 2)?;
    let loaded = Loaded::<f64>::load(&job, &engine)?;
    let mut others = Vec::new();
    for path in rest {
        job.model.weights = PathBuf::from(path);
        others.push(theta(Loaded::<f64>::load(&job, &engine)?.weights()));
    }
    let file = hdf5::File::open(reference).map_err(Error::run)?;
    let mut r = Reference { file, tolerance, failed: false };
    loaded.linearized(loaded.weights(), &engine, |lin| {
        if let Some(state) = r.read("state").or(r.read("output")) {
            r.compare("state", &loaded.state(lin), &state);
        }
        let n = loaded.shape.len();
        let probes = r.read("probe").unwrap_or_default();
        if let Some(images) = r.read("reference/ntk/apply") {
            for (coupling, side) in [(Coupling::All, Side::Weight), (Coupling::All, Side::Gram)] {
                let ntk = Ntk::with(lin, &engine, coupling, side);
                let found: Vec<f64> = probes.chunks(n).flat_map(|x| apply(&ntk, x, false)).collect();
                r.compare(&format!("NTK on the {side:?} side"), &found, &images);
            }
        }
        let jacobian = ParameterJacobian::total(lin, &engine);
        if let (Some(tangent), Some(jvp)) = (others.first(), r.read("reference/jvp")) {
            r.compare("JVP", &apply(&jacobian, tangent, false), &jvp);
        }
        if let Some(vjp) = others.get(1) {
            r.compare("VJP", &apply(&jacobian, &probes[..n], true), vjp);
        }
        if let Some(trace) = r.read("reference/ntk/trace") {
            let ntk = Ntk::new(lin, &engine);
            let (mut sum, mut squares) = (0.0, 0.0);
            for i in 0..n {
                let mut e = vec![0.0; n];
                e[i] = 1.0;
                let y = apply(&ntk, &e, false);
                sum += y[i];
                squares += y.iter().map(|x| x * x).sum::<f64>();
            }
            r.compare("trace", &[sum], &trace);
            if let Some(frobenius) = r.read("reference/ntk/frobenius") {
                r.compare("Frobenius norm", &[squares.sqrt()], &frobenius);
            }
        }
        let parameters = r.file.attr("parameters").and_then(|a| a.read_scalar::<i64>());
        if let Ok(parameters) = parameters {
            r.compare("parameters", &[loaded.network().parameters() as f64], &[parameters as f64]);
        }
    })?;
    Ok(!r.failed)
}

fn main() -> ExitCode {
    match work(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
