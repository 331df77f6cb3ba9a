//! The trace by whatever is best, found out on the way.

use super::per_trajectory_xnystrace::Ladder;
use crate::interval::Z;
use crate::sampling::grow;
use crate::space::{Budget, Space};
use crate::{Estimate, Result, StopReason};

/// An exact method and what it costs.
pub struct Exact<'a> {
    /// In products with the operator.
    pub products: f64,
    /// Computes the trace; collective.
    pub run: &'a dyn Fn() -> Result<Estimate>,
}

/// Estimates tr A = Σ_b tr A_bb of a positive semidefinite operator from its block diagonal as [`super::per_trajectory_xnystrace`] does, and exactly as
/// soon as that is cheaper than the products that the tolerance still asks for. Collective. An exact result has [`StopReason::Exact`].
///
/// How many are needed is foretold from the error so far, which falls with the root of their number at least.
/// **Errors**: A is not positive semidefinite.
pub fn auto<S: Space>(diagonal: &S, budget: &Budget, exact: Option<Exact<'_>>) -> Result<Estimate> {
    if let Some(exact) = exact.as_ref().filter(|e| e.products <= diagonal.block().min(budget.max_matvecs) as f64) {
        return (exact.run)();
    }
    if let Some(exact) = exact.as_ref().filter(|e| e.products <= budget.max_matvecs as f64) {
        diagonal.perhaps(exact.run)?;
    }
    let mut ladder = Ladder::new(diagonal);
    let mut is_exact = false;
    let mut estimate = grow(diagonal, budget, usize::MAX, |total| {
        let (value, error) = ladder.climb(diagonal, total)?;
        let tolerance = budget.rtol * value.abs();
        if let Some(exact) = exact.as_ref().filter(|_| Z * error > tolerance) {
            let needed = total as f64 * (Z * error / tolerance).powi(2);
            if exact.products <= needed.min(budget.max_matvecs as f64) - total as f64 {
                is_exact = true;
                return Ok(((exact.run)()?.value, 0.0));
            }
        }
        Ok((value, error))
    })?;
    if is_exact {
        estimate.stop = StopReason::Exact;
    }
    Ok(estimate)
}
