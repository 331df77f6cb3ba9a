//! One trajectory of a job, for whoever asks: of no rank, and in any precision.

use super::{Given, Inputs, Opened};
use crate::comm::Comm;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::network::FromFiles;
use kpflow_core::model::{Linearization, Run};

/// The model of a job on one of its trajectories.
pub(crate) struct Sample<T> {
    network: FromFiles<T>,
    inputs: Inputs<T>,
    lengths: Vec<usize>,
}

impl<T: Real> Sample<T> {
    /// Reads it. No rank waits for another.
    pub fn read(job: &Job, trajectory: usize) -> Result<Self> {
        let mut given = Given::open(job)?;
        given.read_tokens(job.model.kind, trajectory..trajectory + 1, Comm::alone().into())?;
        let Opened { given, network, .. } = Opened::<T>::of(given, job, false)?;
        let lengths = given.lengths.iter().map(|lengths| lengths[trajectory]).collect();
        Ok(Self { inputs: given.read(&network, trajectory..trajectory + 1)?, network, lengths })
    }

    /// Runs the model and calls `f` with its linearisation.
    ///
    /// **Errors**: those of the run, which a run on all trajectories has named already.
    pub fn linearized<R>(&self, engine: &Engine, f: impl FnOnce(&Linearization<'_, T>) -> R) -> Result<R> {
        let graph = self.network.graph(self.network.weights()).map_err(Error::run)?;
        let graph = graph.view();
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, 1)];
        let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, 1, 1, engine)];
        let inputs: Vec<&[T]> = self.inputs.slots.iter().map(Vec::as_slice).collect();
        let (initial, lengths) = (self.inputs.initial.as_deref(), &self.lengths[..]);
        let run = Run { inputs: &inputs, initial, lengths, trajectories: 1, tile: 1 };
        let lin = Linearization::of(&graph, &run, &mut arena, &mut scratch, engine);
        Ok(f(&lin.map_err(Error::run)?))
    }
}
