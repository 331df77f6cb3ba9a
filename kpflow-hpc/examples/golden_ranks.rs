//! Every operator on the golden probes, its trajectories sharded over the ranks that this program is started on.
//!
//! `mpirun -n R golden_ranks CASE.toml`: a job file whose inputs are a golden case's. Ends with 0 if all agree to 1e-9.

use kpflow_core::ntk::{Constraint, Coupling, Ntk, ParameterOperator, Propagator, Side};
use kpflow_core::{BlockMut, BlockRef, LinearOperator};
use kpflow_hpc::comm::{Comm, World};
use kpflow_hpc::engine::Engine;
use kpflow_hpc::error::{Error, Result};
use kpflow_hpc::job::Job;
use kpflow_hpc::model::Loaded;
use std::path::Path;
use std::process::ExitCode;

/// This rank's part of a `[vectors, B, T, N]` dataset (`[B, T, N]` is one vector), as a block.
fn block(job: &Job, loaded: &Loaded<f64>, name: &str) -> Result<Vec<f64>> {
    let file = hdf5::File::open(&job.inputs[0].1.path).map_err(Error::run)?;
    let all = file.dataset(name).and_then(|d| d.read_raw::<f64>()).map_err(Error::run)?;
    let (per, m) = (loaded.shape.per_trajectory(), all.len() / loaded.shape.per_trajectory() / loaded.trajectories);
    let mut out = Vec::new();
    for b in loaded.first..loaded.first + loaded.shape.trajectories {
        (0..m).for_each(|v| out.extend_from_slice(&all[(v * loaded.trajectories + b) * per..][..per]));
    }
    Ok(out)
}

fn compare(comm: Comm, what: &str, found: &[f64], expected: &[f64]) -> Result<()> {
    let square = |x: &mut dyn Iterator<Item = f64>| comm.sum_one(x.map(|x| x * x).sum()).sqrt();
    let difference = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let norm = square(&mut expected.iter().copied());
    if comm.is_root() {
        println!("{what}: {:.1e}", difference / norm);
    }
    match difference <= 1e-9 * norm && found.len() == expected.len() {
        true => Ok(()),
        false => Err(Error::run(format!("{what} is off by {difference:e} of {norm:e}"))),
    }
}

fn work(comm: Comm) -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| Error::usage("golden_ranks CASE.toml"))?;
    let job = comm.agree(Job::read(Path::new(&path)))?;
    let engine = Engine::new(comm, 2)?;
    let loaded = Loaded::<f64>::load(&job, &engine)?;
    loaded.linearized(loaded.weights(), &engine, |lin| {
        compare(comm, "state", &loaded.state(lin), &block(&job, &loaded, "state")?)?;
        let x = block(&job, &loaded, "probe")?;
        let operators: [(&str, Box<dyn LinearOperator<f64> + '_>); 6] = [
            ("propagator", Box::new(Propagator::new(lin, &engine))),
            ("constraint", Box::new(Constraint::new(lin, &engine))),
            ("parameter", Box::new(ParameterOperator::new(lin, &engine))),
            ("parameter", Box::new(ParameterOperator::with(lin, &engine, Coupling::All, Side::Gram))),
            ("ntk", Box::new(Ntk::new(lin, &engine))),
            ("ntk", Box::new(Ntk::with(lin, &engine, Coupling::All, Side::Gram))),
        ];
        for (name, op) in &operators {
            for (direction, adjoint) in [("apply", false), ("apply_adjoint", true)] {
                let (mut y, mut scratch) = (vec![f64::NAN; x.len()], vec![f64::NAN; op.scratch_len(3)]);
                let (from, to) = (BlockRef::new(loaded.shape, 3, &x), BlockMut::new(loaded.shape, 3, &mut y));
                match adjoint {
                    true => op.apply_adjoint(from?, to?, &mut scratch)?,
                    false => op.apply(from?, to?, &mut scratch)?,
                }
                let reference = format!("reference/{name}/{direction}");
                compare(comm, &reference, &y, &block(&job, &loaded, &reference)?)?;
            }
        }
        Ok(())
    })?
}

fn main() -> ExitCode {
    let world = World::new().expect("MPI");
    let comm = world.comm();
    comm.abort_on_panic();
    match comm.agree(work(comm)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
