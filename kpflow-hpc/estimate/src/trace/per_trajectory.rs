//! Hutchinson's estimator on every trajectory by itself.

use crate::sampling::{pooled, positive_if, sample};
use crate::space::{Budget, Space, TESTS};
use crate::{Estimate, Result};
use kpflow_core::probe::Running;

/// Estimates tr A = Σ_b tr A_bb from the block diagonal ⊕_b A_bb: squares per trajectory *before* adding. Collective.
///
/// **Cost**: one product with the block diagonal a sample, which needs no communication. **Accuracy**: no noise between trajectories; the variances
/// of the trajectories' means, whose probes are independent, add up.
pub fn per_trajectory<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let shape = space.shape();
    let mut running = vec![Running::default(); shape.trajectories];
    let mut signed = false;
    sample(space, budget, space.trajectories(), |first, m| {
        let x = space.draw(TESTS, first, m);
        let y = space.apply(&x)?;
        for (i, q) in space.dots_by_trajectory(&x, &y).into_iter().enumerate() {
            running[i / m].push(q);
            signed |= q < 0.0;
        }
        let mut sums = [0.0, 0.0, 0.0, f64::from(u8::from(signed))];
        for r in &running {
            let square = r.standard_error().powi(2);
            sums.iter_mut().zip([r.mean(), square, square * square]).for_each(|(s, x)| *s += x);
        }
        space.sum(&mut sums);
        Ok(positive_if(sums[3] == 0.0, sums[0], pooled(sums[1], sums[2], (first + m) as f64 - 1.0)))
    })
}
