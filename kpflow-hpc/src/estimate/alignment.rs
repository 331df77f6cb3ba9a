//! The alignment of two operators.

use super::pair_statistic::{below_one, ratio, trace_mean};
use super::qr::orthogonalise;
use super::sampling::{jackknife, sample};
use super::{Budget, Estimate, Problem, Tall, SKETCHES, TESTS};
use crate::engine::Real;

/// Products of both operators that go into directions rather than samples, at most.
const MAX_SKETCH: usize = 64;

/// Estimates ⟨A, B⟩_F/(‖A‖_F‖B‖_F) of two symmetric operators on the same space from the same probes: ⟨Ax, Bx⟩, ‖Ax‖² and ‖Bx‖². Collective.
///
/// With `deflate`, the leading directions of both are taken out first: Q = orth([AΩ, BΩ]), ⟨AQ, BQ⟩ and the two norms there exactly, samples from
/// what is left (Hutch++ for A², B² and AB). The three sums share probes, so that most of their noise goes out in the ratio. The problems must have the
/// same seed, shape and engine.
/// **Cost**: one product with each operator a sample; a quarter of the budget for AΩ and BΩ together, at most 64, and twice that for AQ and
/// BQ. **Accuracy**: bias corrected and standard error, given Q, by the jackknife. 0 where an operator is zero.
pub fn alignment<T: Real>(a: &Problem<'_, T>, b: &Problem<'_, T>, budget: &Budget, deflate: bool) -> Estimate {
    let k = if deflate { (budget.max_matvecs / 8).min(MAX_SKETCH / 2).min(a.len()) } else { 0 };
    let mut basis = Tall::zeros(a.shape(), 0);
    if k > 0 {
        let omega = a.draw(SKETCHES, 0, k);
        for problem in [a, b] {
            let y = problem.apply(&omega);
            let squares = problem.dots(&y, &y);
            let largest = squares.iter().fold(0.0, |m: f64, &s| m.max(s)).sqrt();
            if squares.iter().all(|s| s.is_finite()) {
                let new = orthogonalise(problem, &[&basis], y, largest, largest * T::epsilon().f64()).q;
                basis.append(new, problem.engine);
            }
        }
    }
    let (aq, bq) = (a.apply(&basis), b.apply(&basis));
    let known: Vec<f64> =
        [(&aq, &aq), (&bq, &bq), (&aq, &bq)].iter().map(|(x, y)| a.dots(x, y).iter().sum::<f64>()).collect();
    let mut samples: [Vec<f64>; 3] = Default::default();
    sample(a, budget, 1, |first, m| {
        let mut x = a.draw(TESTS, first, m);
        let c = a.gram(&basis, &x);
        x.add_product(-1.0, &basis, &c, a.engine);
        let (ax, bx) = (a.apply(&x), b.apply(&x));
        for (all, (x, y)) in samples.iter_mut().zip([(&ax, &ax), (&bx, &bx), (&ax, &bx)]) {
            all.extend(a.dots(x, y));
        }
        let sums: Vec<f64> = samples.iter().map(|s| s.iter().sum()).collect();
        if sums.iter().chain(&known).any(|s| !s.is_finite()) {
            return (f64::NAN, f64::NAN);
        }
        below_one(jackknife(samples[0].len(), |without| {
            let part = |i: usize| known[i] + trace_mean(sums[i], &samples[i], without);
            ratio(part(2), (part(0) * part(1)).max(0.0).sqrt())
        }))
    })
}
