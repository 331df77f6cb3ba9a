//! What is doubtful of a model that runs: numbers that are left, operators that are not what they are taken for.

use super::Loaded;
use crate::analysis::Operator;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Analysis, Job};
use crate::network::{FromFiles, Network};
use kpflow_core::model::{Linearization, LinearizeError};
use kpflow_core::{BlockMut, Shape};

impl<T: Real> Loaded<T> {
    /// What the core refuses, in the user's words.
    pub(super) fn refused(&self, e: LinearizeError) -> Error {
        let LinearizeError::Token { weight, trajectory, token, rows } = e else { return Error::run(e) };
        let (name, trajectory) = (&self.weights()[weight].name, self.first + trajectory);
        let what =
            format!("{name} has {rows} rows; trajectory {trajectory} names token {token} (they are 0 to {})", rows - 1);
        Error::input(&self.file, what)
    }

    /// The state of one of this rank's trajectories as another layout of the same model has it, and the trajectory's inputs.
    fn state_of(&self, network: &Network<T>, b: usize, engine: &Engine) -> Option<(Vec<T>, Vec<&[T]>)> {
        let count = self.shape.trajectories.max(1);
        let of = |all: &Vec<T>| all.len() / count * b..all.len() / count * (b + 1);
        let slots: Vec<&[T]> = self.inputs.slots.iter().map(|all| &all[of(all)]).collect();
        let initial = self.inputs.initial.as_ref().map(|all| &all[of(all)]);
        let graph = network.graph(network.weights()).ok()?;
        let graph = graph.view();
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, 1)];
        let mut scratch = vec![T::zero(); Linearization::scratch_len(&graph, 1, 1, engine)];
        let lin = Linearization::new(&graph, &slots, initial, 1, 1, &mut arena, &mut scratch, engine).ok()?;
        let (steps, units) = network.state_shape();
        let shape = Shape::new(1, steps, units);
        let mut state = vec![T::zero(); shape.len()];
        BlockMut::new(shape, 1, &mut state).and_then(|block| lin.state(block)).ok()?;
        Some((state, slots))
    }

    /// An error that names the node that leaves the numbers, if one does, on a trajectory of any rank. Collective.
    pub fn require_numbers(&self, engine: &Engine) -> Result<()> {
        let all = self.network.all_watched();
        let one = |b: usize| {
            let (state, slots) = self.state_of(&all, b, engine)?;
            let what = all.leaves_numbers(&state, &slots)?;
            let trajectory = self.first + b;
            Some(format!(
                "{what} on trajectory {trajectory}; check weights and inputs, or keep what it reads away from there"
            ))
        };
        let found = (0..self.shape.trajectories).find_map(one);
        engine.grid().agree(found.map_or(Ok(()), |what| Err(Error::input(&self.file, what))))
    }
}

/// Warns where K and P, if they are asked for, are not what they are taken for.
pub(super) fn warn_of_indirect<T: Real>(network: &mut FromFiles<T>, job: &Job) {
    let asked = |a: &Analysis| !matches!(a.operator, Operator::Ntk | Operator::Core);
    if job.analyses.iter().any(asked) {
        if let Some(text) = network.indirect() {
            network.warn(text);
        }
    }
}
