//! The alignment of two operators.

use crate::interval::Bar;
use crate::pair_statistic::{below_one, ratio, trace_mean};
use crate::qr::orthogonalise;
use crate::sampling::{jackknife, sample};
use crate::space::{Budget, Small, Space, SKETCHES, TESTS};
use crate::{Estimate, Result};

/// Products of both operators that go into directions rather than samples, at most.
const MAX_SKETCH: usize = 64;

/// Estimates ⟨A, B⟩_F/(‖A‖_F‖B‖_F) of two symmetric operators on the same space from the same probes: ⟨Ax, Bx⟩, ‖Ax‖² and ‖Bx‖². Collective.
///
/// With `deflate`, the leading directions of both are taken out first: Q = orth([AΩ, BΩ]), ⟨AQ, BQ⟩ and the two norms there exactly, samples from
/// what is left (Hutch++ for A², B² and AB). The three sums share probes, so that most of their noise goes out in the ratio. The problems must have the
/// same seed, shape and engine.
/// **Cost**: one product with each operator a sample; a quarter of the budget for AΩ and BΩ together, at most 64, and twice that for AQ and
/// BQ. **Accuracy**: bias corrected and standard error, given Q, by the jackknife. 0 where an operator is zero.
pub fn alignment<S: Space>(a: &S, b: &S, budget: &Budget, deflate: bool) -> Result<Estimate> {
    let k = if deflate { (budget.max_matvecs / 8).min(MAX_SKETCH / 2).min(a.len()) } else { 0 };
    let mut basis = a.zeros(0);
    if k > 0 {
        let omega = a.draw(SKETCHES, 0, k);
        for space in [a, b] {
            let y = space.apply(&omega)?;
            let squares = space.dots(&y, &y)?;
            let largest = squares.iter().fold(0.0, |m: f64, &s| m.max(s)).sqrt();
            if squares.iter().all(|s| s.is_finite()) {
                let new = orthogonalise(space, &[&basis], y, largest, largest * space.epsilon())?.q;
                space.append(&mut basis, new);
            }
        }
    }
    // The images of both may have fewer directions.
    a.may_stop(budget, false);
    let (aq, bq) = (a.apply(&basis)?, b.apply(&basis)?);
    let mut known = Vec::new();
    for (x, y) in [(&aq, &aq), (&bq, &bq), (&aq, &bq)] {
        known.push(a.dots(x, y)?.iter().sum::<f64>());
    }
    let mut samples: [Vec<f64>; 3] = Default::default();
    sample(a, budget, 1, |first, m| {
        let mut x = a.draw(TESTS, first, m);
        let c = a.gram(&basis, &x)?;
        a.add_product(&mut x, -1.0, &basis, &c);
        let (ax, bx) = (a.apply(&x)?, b.apply(&x)?);
        for (all, (x, y)) in samples.iter_mut().zip([(&ax, &ax), (&bx, &bx), (&ax, &bx)]) {
            all.extend(a.dots(x, y)?);
        }
        let sums: Vec<f64> = samples.iter().map(|s| s.iter().sum()).collect();
        if sums.iter().chain(&known).any(|s| !s.is_finite()) {
            return Ok(Bar::NAN);
        }
        a.small(Small::default(), |_| {
            Ok(below_one(jackknife(samples[0].len(), |without| {
                let part = |i: usize| known[i] + trace_mean(sums[i], &samples[i], without);
                ratio(part(2), (part(0) * part(1)).max(0.0).sqrt())
            })))
        })
    })
}
