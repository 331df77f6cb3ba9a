//! What the ranks do for the stages of a training run as a whole.

use super::made_of::Making;
use crate::comm::{Comm, Grid};
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::{stages, Job};
use crate::model::Given;
use crate::results::{self, Header, ResultFile};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Makes the stages those that the root has found: a directory may look another way to every node, or change meanwhile. Collective.
pub fn share(job: &mut Job, comm: Comm) {
    if job.stages.is_empty() {
        return;
    }
    let mut names = job.stages.iter().map(|s| s.weights.as_os_str().as_bytes()).collect::<Vec<_>>().join(&0);
    comm.broadcast(&mut names, 0);
    job.stages = stages::of(names.split(|&b| b == 0).map(|n| OsStr::from_bytes(n).into()).collect());
    job.model.weights.clone_from(&job.stages[0].weights);
}

/// Opens every stage's checkpoint, and fails if one is not of the first one's model: before anything runs. Collective.
pub fn check<T: Real>(job: &Job, comm: Comm) -> Result<()> {
    let all = || -> Result<()> {
        let given = Given::open(job)?;
        let mut first = None;
        for i in 0..job.runs() {
            let this = job.at(i);
            let network = given.network::<T>(&this, true).map_err(|e| match i {
                // That the inputs are of another shape is not their fault: they are those of the first stage.
                1.. if e.file.as_ref() != Some(&this.model.weights) => {
                    let first = job.stages[0].weights.display();
                    Error::input(&this.model.weights, format!("is of another model than {first}: {e}"))
                }
                _ => e,
            })?;
            let found = (network.state_shape(), network.parameters());
            let &mut expected = first.get_or_insert(found);
            if found != expected {
                let text = |((t, n), parameters): ((usize, usize), usize)| {
                    format!("a state [T = {t}, N = {n}] and {parameters} parameters")
                };
                let what = format!(
                    "makes {}; {} makes {}, and all stages are of one model",
                    text(found),
                    job.stages[0].weights.display(),
                    text(expected)
                );
                return Err(Error::input(&this.model.weights, what));
            }
        }
        Ok(())
    };
    comm.agree(if comm.is_root() { all() } else { Ok(()) })
}

/// Fails if a stage's result file may not be written, while nothing is spent yet. Collective.
pub fn replaceable(job: &Job, resume: bool, grid: Grid) -> Result<()> {
    let all = || (0..job.runs()).try_for_each(|i| results::replaceable(&job.at(i).output));
    grid.agree(if grid.is_root() && !resume { all() } else { Ok(()) })
}

/// Whether an earlier run has finished a stage, of the same weights and inputs. Collective.
pub(super) fn is_whole(job: &Job, header: &Header, making: &Making, grid: Grid) -> Result<bool> {
    let found = if grid.is_root() { ResultFile::is_whole(&job.output, header, &making.analyses) } else { Ok(false) };
    let found = grid.agree(found)?;
    Ok(grid.world().sum_one(f64::from(u8::from(found))) > 0.0)
}

/// Fails if a job would write over a result file that it reads. What is none is not replaced
/// anyway.
pub(super) fn apart(job: &Job) -> Result<()> {
    match results::is_result(&job.output)? {
        true => job.require_output_apart(),
        false => Ok(()),
    }
}
