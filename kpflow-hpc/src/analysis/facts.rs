//! What of a model decides whether an analysis can be made, before anything is spent.

use super::{Asked, Operator, Part, Quantity};
use crate::closed::{require_closed, require_recurrence, Closed};
use crate::engine::Real;
use crate::error::{Error, Result};
use kpflow_core::model::Linearization;
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
    recurrence: Option<&'a Error>,
    /// Why there is no closed form of the operator's trace, and of ‖K‖_F.
    closed: [Option<&'a Error>; 2],
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

/// Fails if an analysis asks for what this model does not have. Nothing is computed.
///
/// The model has so many `trajectories` on all ranks, of which each may have steps of its own.
pub fn check<T: Real>(
    quantity: &Quantity,
    method: &str,
    asked: &Asked,
    part: &Part,
    (trajectories, lengths): (usize, Option<&[usize]>),
    lin: &Linearization<'_, T>,
) -> Result<()> {
    part.check(lin.shape(), lengths)?;
    let [steps, units] = part.sizes(lin.shape());
    let own = lengths.map(|lengths| part.lengths(lengths));
    let count = if part.average { 1 } else { trajectories };
    let units = if asked.operator.about().on_state { units } else { 1 };
    let recurrence = require_recurrence(lin).err();
    let closed = [asked.operator.about().closed, None::<Closed>].map(|of_trace| require_closed(lin, of_trace).err());
    let facts = Facts {
        shape: [count, steps, units],
        numbers: own.as_ref().map_or(count * steps, |lengths| lengths.iter().sum()) * units,
        lengths: own.as_deref(),
        recurrence: recurrence.as_ref(),
        closed: [closed[0].as_ref(), closed[1].as_ref()],
    };
    if asked.operator == Operator::Core {
        super::operators::require_core(lin)?;
    }
    (quantity.require)(asked, &facts)?;
    let offer = super::offers(quantity).into_iter().find(|offer| offer.name == method);
    let Some(offer) = offer else { return Ok(()) };
    if offer.dense && method == super::DENSE {
        require_dense(facts.numbers)?;
    }
    (offer.require)(asked, &facts)
}
