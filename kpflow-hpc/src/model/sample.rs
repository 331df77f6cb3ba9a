//! One trajectory of a job, for whoever asks: of no rank, and in any precision.

use super::{Given, Inputs};
use crate::comm::Comm;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::network::FromFiles;
use kpflow_core::model::{Linearization, Run};

/// Reads the model of a job for all of its trajectories, one at a time; `None` of one that holds the rows of its own tokens alone.
pub(crate) fn of_all<T: Real>(job: &Job) -> Result<Option<FromFiles<T>>> {
    let mut given = Given::open(job)?;
    given.read_tokens(job.model.kind, 0..0, Comm::alone().into())?;
    Ok(if given.tokens.is_some() { None } else { Some(given.network(job, false)?) })
}

/// Runs the model of a job on one of its trajectories and calls `f` with its linearisation. No rank waits for another.
///
/// `known` is the model if it has been read, for all trajectories. **Errors**: those of the run, which a run on all trajectories has named already.
pub(crate) fn on_one<T: Real, R>(
    job: &Job,
    trajectory: usize,
    known: Option<&FromFiles<T>>,
    engine: &Engine,
    f: impl FnOnce(&Linearization<'_, T>) -> R,
) -> Result<R> {
    let mut given = Given::open(job)?;
    given.read_tokens(job.model.kind, trajectory..trajectory + 1, Comm::alone().into())?;
    let own;
    let network = match known.filter(|_| given.tokens.is_none()) {
        Some(network) => network,
        None => {
            own = given.network(job, false)?;
            &own
        }
    };
    let lengths: Vec<usize> = given.lengths.iter().map(|lengths| lengths[trajectory]).collect();
    let Inputs { slots, initial, .. } = given.read(network, trajectory..trajectory + 1)?;
    let graph = network.graph(network.weights()).map_err(Error::run)?;
    let graph = graph.view();
    let mut arena = vec![T::zero(); Linearization::arena_len(&graph, 1)];
    let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, 1, 1, engine)];
    let inputs: Vec<&[T]> = slots.iter().map(Vec::as_slice).collect();
    let run = Run { inputs: &inputs, initial: initial.as_deref(), lengths: &lengths, trajectories: 1, tile: 1 };
    let lin = Linearization::of(&graph, &run, &mut arena, &mut scratch, engine);
    Ok(f(&lin.map_err(Error::run)?))
}
