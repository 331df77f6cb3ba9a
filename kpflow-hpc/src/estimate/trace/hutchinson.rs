//! Hutchinson's trace estimator (1990).

use crate::engine::Real;
use crate::estimate::sampling::{of, sample};
use crate::estimate::{Budget, Estimate, Problem, TESTS};
use kpflow_core::probe::Running;

/// Estimates tr A as the mean of xᵀAx over Rademacher probes x. Collective.
///
/// **Cost**: one product a sample. **Accuracy**: variance 2 Σ_{i≠j} A_ij² a sample; the standard error is that of the mean.
pub fn hutchinson<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Estimate {
    let mut running = Running::default();
    sample(problem, budget, 1, |first, m| {
        let x = problem.draw(TESTS, first, m);
        let y = problem.apply(&x);
        problem.dots(&x, &y).into_iter().for_each(|q| running.push(q));
        of(&running)
    })
}
