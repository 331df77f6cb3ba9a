//! What of a model decides whether an analysis can be made, before anything is spent.

use super::Asked;
use crate::error::{Error, Result};
use kpflow_estimate::{require_dense, require_marginal};

/// The sizes of a job on all ranks, and what its model is.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// [B, T, N] of the state, or of the part that is looked at.
    pub shape: [usize; 3],
    /// The numbers of a vector: none behind a trajectory's end.
    pub numbers: usize,
    /// The steps of every trajectory, where they differ.
    pub lengths: Option<&'a [usize]>,
    /// Why there are no Lyapunov exponents, if so.
    pub(super) recurrence: Option<&'a Error>,
    /// Why there is no closed form of the operator's trace, and of ‖K‖_F.
    pub(super) closed: [Option<&'a Error>; 2],
}

impl Facts<'_> {
    /// Needs nothing.
    pub fn nothing(_: &Asked, _: &Facts<'_>) -> Result<()> {
        Ok(())
    }

    /// Needs one recurrence of two steps or more.
    pub fn recurrence(_: &Asked, facts: &Facts<'_>) -> Result<()> {
        if let Some(e) = facts.recurrence {
            return Err(e.clone());
        }
        match facts.lengths.into_iter().flatten().position(|length| *length < 2) {
            Some(b) => {
                let what = "Lyapunov exponents need at least two steps";
                Err(Error::usage(format!("{what}, and trajectory {b} has one")))
            }
            None => Ok(()),
        }
    }

    /// Needs a marginal of a size that is formed.
    pub fn marginal(asked: &Asked, facts: &Facts<'_>) -> Result<()> {
        let d = facts.shape.iter().zip(asked.axes).filter(|(_, kept)| *kept).map(|(size, _)| size).product();
        Ok(require_marginal(d)?)
    }

    /// Needs a matrix, with rows and columns of zeros behind the ends of trajectories, of a size that is formed.
    pub fn matrix(_: &Asked, facts: &Facts<'_>) -> Result<()> {
        Ok(require_dense(facts.shape.iter().product())?)
    }
}

/// Needs the closed form: of the operator's trace, or of ‖K‖_F.
pub(super) fn of_closed(asked: &Asked, facts: &Facts<'_>) -> Result<()> {
    let of_trace = asked.exact_trace;
    facts.closed[usize::from(!of_trace)].map_or(Ok(()), |e| Err(e.clone()))
}
