//! The trace by whatever is best, found out on the way.

use super::per_trajectory_xnystrace::Ladder;
use crate::engine::Real;
use crate::error::Result;
use crate::estimate::sampling::grow;
use crate::estimate::{Budget, Estimate, Problem, StopReason};

/// An exact method and what it costs.
pub struct Exact<'a> {
    /// In products with the operator.
    pub products: f64,
    /// Computes the trace; collective.
    pub run: &'a dyn Fn() -> Result<Estimate>,
}

/// Which method an automatic choice ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The exact one.
    Exact,
    /// [`super::per_trajectory`], on normal probes of one length.
    PerTrajectory,
    /// [`super::per_trajectory_xnystrace`].
    PerTrajectoryXnystrace,
}

/// Estimates tr A = Σ_b tr A_bb of a positive semidefinite operator from its block diagonal: by Hutchinson's mean or by XNysTrace on each trajectory, whichever
/// has the smaller error on the same products; and exactly, as soon as that is cheaper than the products that the tolerance still asks for. Collective.
///
/// A flat spectrum is for plain means, a decaying one for deflation: the products themselves tell which it is. How many are needed is foretold
/// from the error so far, which falls with the root of their number at least.
pub fn auto<T: Real>(
    diagonal: &Problem<'_, T>,
    budget: &Budget,
    exact: Option<Exact<'_>>,
) -> Result<(Estimate, Chosen)> {
    if let Some(exact) = exact.as_ref().filter(|e| e.products <= diagonal.block.min(budget.max_matvecs) as f64) {
        return Ok(((exact.run)()?, Chosen::Exact));
    }
    let mut ladder = Ladder::new(diagonal);
    let mut chosen = Chosen::PerTrajectory;
    let mut estimate = grow(diagonal, budget, usize::MAX, |total| {
        let both = ladder.climb(diagonal, total)?;
        let best = match both.xnystrace.1 <= both.hutchinson.1 {
            true => (Chosen::PerTrajectoryXnystrace, both.xnystrace),
            false => (Chosen::PerTrajectory, both.hutchinson),
        };
        chosen = best.0;
        let (value, error) = best.1;
        let tolerance = budget.rtol * value.abs();
        if let Some(exact) = exact.as_ref().filter(|_| error > tolerance) {
            let needed = total as f64 * (error / tolerance).powi(2);
            if exact.products <= needed.min(budget.max_matvecs as f64) - total as f64 {
                chosen = Chosen::Exact;
                return Ok(((exact.run)()?.value, 0.0));
            }
        }
        Ok(best.1)
    })?;
    if chosen == Chosen::Exact {
        estimate.stop = StopReason::Exact;
    }
    Ok((estimate, chosen))
}
