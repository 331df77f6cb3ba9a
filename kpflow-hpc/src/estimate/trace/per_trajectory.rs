//! Hutchinson's estimator on every trajectory by itself.

use crate::engine::Real;
use crate::estimate::sampling::{pooled, sample};
use crate::estimate::{Budget, Estimate, Problem, TESTS};
use kpflow_core::probe::Running;

/// Estimates tr A = Σ_b tr A_bb from the block diagonal ⊕_b A_bb: squares per trajectory *before* adding. Collective.
///
/// **Cost**: one product with the block diagonal a sample, which needs no communication. **Accuracy**: no noise between trajectories; the variances
/// of the trajectories' means, whose probes are independent, add up.
pub fn per_trajectory<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Estimate {
    let shape = problem.shape();
    let mut running = vec![Running::default(); shape.trajectories];
    sample(problem, budget, problem.trajectories(), |first, m| {
        let x = problem.draw(TESTS, first, m);
        let y = problem.apply(&x);
        let n = shape.per_trajectory().max(1);
        for (i, (x, y)) in x.data.chunks(n).zip(y.data.chunks(n)).enumerate() {
            running[i / m].push(x.iter().zip(y).map(|(a, b)| a.f64() * b.f64()).sum());
        }
        let mut sums = [0.0; 3];
        for r in &running {
            let square = r.standard_error().powi(2);
            sums.iter_mut().zip([r.mean(), square, square * square]).for_each(|(s, x)| *s += x);
        }
        problem.grid().sum(&mut sums);
        (sums[0], pooled(sums[1], sums[2], (first + m) as f64 - 1.0))
    })
}
