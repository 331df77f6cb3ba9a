//! What an analysis is made with: other weights, or a tensor as the state. Headers alone are read, so that what does not fit is refused before anything is computed.

use super::Given;
use crate::analysis::With;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::{Analysis, Job, Source};
use crate::load::signal::open_signal;
use crate::load::Array;
use crate::network::FromFiles;
use std::path::Path;

/// A job whose model has these weights.
pub(crate) fn with_weights(job: &Job, weights: &Path) -> Job {
    let mut model = job.model.clone();
    model.weights = weights.into();
    Job { model, ..job.clone() }
}

/// A job whose inputs are the other ones.
pub(crate) fn with_other_inputs(job: &Job) -> Job {
    Job { inputs: job.other_inputs.clone(), other_inputs: Vec::new(), ..job.clone() }
}

/// Fails unless other weights read their inputs as these do, and make a state of the same shape.
pub(super) fn require_same<T: Real>(weights: &Path, other: &FromFiles<T>, layout: &[(usize, usize)]) -> Result<()> {
    match other.slots() == layout {
        true => Ok(()),
        false => Err(Error::input(weights, "reads its inputs in another way than the other weights do")),
    }
}

impl Given {
    /// Opens a tensor that is as the state, `[B, T, N]` with so many steps and units; or `many` of them.
    pub(super) fn open_state(&self, with: &Source, (steps, units): (usize, usize), many: bool) -> Result<Array> {
        open_signal(with, [self.trajectories, steps, units], many)
    }

    /// Fails where what an analysis is made with does not fit the model.
    fn require<T: Real>(&self, job: &Job, analysis: &Analysis, network: &FromFiles<T>) -> Result<()> {
        match (&analysis.with, analysis.quantity.with) {
            (Some(with), Some(With::Weights)) => {
                let other = self.network::<T>(&with_weights(job, &with.path), true)?;
                require_same(&with.path, &other, &network.slots())?;
                let (a, b) = (other.state_shape(), network.state_shape());
                match a == b {
                    true => Ok(()),
                    false => {
                        let of = |(steps, units): (usize, usize)| format!("[{}, {steps}, {units}]", self.trajectories);
                        let what = format!("makes a state of shape {}; it is {} here", of(a), of(b));
                        Err(Error::input(&with.path, what))
                    }
                }
            }
            (Some(with), Some(With::State)) => self.open_state(with, network.state_shape(), false).map(drop),
            (Some(with), Some(With::Vectors)) => self.open_state(with, network.state_shape(), true).map(drop),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Fails where what one of a job's analyses is made with does not fit the model.
    pub(super) fn require_all<T: Real>(&self, job: &Job, network: &FromFiles<T>) -> Result<()> {
        if !job.other_inputs.is_empty() {
            let job = with_other_inputs(job);
            let given = Given::open(&job)?;
            let other = given.network::<T>(&job, true)?;
            if other.slots() != network.slots() || other.state_shape() != network.state_shape() {
                let what = "other_inputs are of another size: a trajectory of them should be as one of inputs";
                return Err(match given.arrays.first() {
                    Some(array) => array.error(format!("has shape {:?}; {what}", array.shape())),
                    None => Error::input(&job.path, what),
                });
            }
        }
        let one = |a: &Analysis| self.require(job, a, network).map_err(|e| e.in_analysis(&job.path, &a.name));
        job.analyses.iter().try_for_each(one)
    }
}
