//! The trace of A = F Fᵀ by one sweep a sample.

use crate::engine::Real;
use crate::estimate::sampling::{of, sample};
use crate::estimate::{Budget, Estimate, Problem, Tall, TESTS};
use kpflow_core::probe::Running;

/// Estimates tr F Fᵀ = E‖Fᵀx‖² from products with Fᵀ alone: back-propagation of random error signals. Collective.
///
/// `adjoint` is the problem of Fᵀ; `replicated` says that every rank holds all of what it writes. **Cost**: half a product of A a
/// sample, and so it is counted. **Accuracy**: as Hutchinson's, sample for sample.
pub fn reverse<T: Real>(adjoint: &Problem<'_, T>, budget: &Budget, replicated: bool) -> Estimate {
    one_sided(adjoint, budget, |y| if replicated { local_squares(y) } else { adjoint.dots(y, y) })
}

/// Estimates tr F Fᵀ = E‖Fw‖² from products with F alone: what random changes of the weights do to the state. Collective.
///
/// `factor` is the problem of F. **Cost**: half a product of A a sample, and so it is counted. **Accuracy**: variance 2 Σ_{i≠j} (FᵀF)_ij² a sample.
pub fn forward<T: Real>(factor: &Problem<'_, T>, budget: &Budget) -> Estimate {
    one_sided(factor, budget, |y| factor.dots(y, y))
}

fn one_sided<T: Real>(problem: &Problem<'_, T>, budget: &Budget, squares: impl Fn(&Tall<T>) -> Vec<f64>) -> Estimate {
    let mut running = Running::default();
    let sweeps = Budget { max_matvecs: budget.max_matvecs.saturating_mul(2), ..*budget };
    let estimate = sample(problem, &sweeps, 1, |first, m| {
        let y = problem.apply(&problem.draw(TESTS, first, m));
        squares(&y).into_iter().for_each(|s| running.push(s));
        of(&running)
    });
    in_products(estimate)
}

/// Counts two sweeps as the product that they would make.
pub(in crate::estimate) fn in_products(estimate: Estimate) -> Estimate {
    let history = estimate.history.iter().map(|h| [(h[0] / 2.0).ceil(), h[1], h[2]]).collect();
    Estimate { matvecs: estimate.matvecs.div_ceil(2), history, ..estimate }
}

/// ‖y_v‖² of every column of what this rank holds.
pub(in crate::estimate) fn local_squares<T: Real>(y: &Tall<T>) -> Vec<f64> {
    let square = |b, v| y.part(b, v).iter().map(|x| x.f64().powi(2)).sum::<f64>();
    (0..y.vectors).map(|v| (0..y.shape.trajectories).map(|b| square(b, v)).sum()).collect()
}
