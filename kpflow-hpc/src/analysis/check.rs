//! What is refused before anything is computed.

use super::{Asked, Facts, Operator, Part, Quantity};
use crate::closed::{require_closed, require_recurrence, Closed};
use crate::engine::Real;
use crate::error::{Error, Result};
use kpflow_core::model::Linearization;
use kpflow_estimate::{require_dense, Which, DENSE_LIMIT};

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
    let rows = |entries: bool| {
        let from_weights = !entries && asked.whole && asked.operator.from_weights();
        let other = if from_weights { lin.graph().parameters() } else { usize::MAX };
        facts.numbers.min(other)
    };
    if let Some(reads) = offer.reads.filter(|_| method == super::DENSE) {
        require_dense(rows(reads.entries))?;
    }
    if asked.which != Which::Largest && rows(false) > DENSE_LIMIT {
        let what = "which = \"smallest\" and near read the exact matrix of the smaller side";
        let of = format!("of {DENSE_LIMIT} rows at most, and here it has {}", rows(false));
        return Err(Error::usage(format!("{what}, {of}; take a window, units or average of the state")));
    }
    (offer.require)(asked, &facts)
}
