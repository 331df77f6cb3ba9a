//! XNysTrace on every trajectory by itself.

use super::xnystrace::{exchangeable, floor};
use super::Sketch;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::estimate::sampling::{grow, pooled, ValueError};
use crate::estimate::{Budget, Estimate, Problem, Tall, SKETCHES};
use kpflow_core::machine::Tasks;

/// Estimates tr A = Σ_b tr A_bb from the block diagonal ⊕_b A_bb, by [`super::xnystrace`] on each block. Collective.
///
/// m products with the block diagonal, which need no communication, deflate rank m in *every* trajectory, and the errors of the trajectories,
/// whose probes are independent, add in squares.
/// **Cost**: one product a probe, O(n m²) flops beside it, 2 m vectors. **Accuracy**: as XNysTrace's, block by block. **Errors**: A is not positive
/// semidefinite.
pub fn per_trajectory_xnystrace<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let mut ladder = Ladder::new(problem);
    grow(problem, budget, usize::MAX, |total| ladder.climb(problem, total))
}

/// Products with the block diagonal, more and more of them.
///
/// A sketch that is as large as a trajectory, or as memory allows, is done with; the next one is independent of it.
pub(super) struct Ladder<T> {
    sketch: Sketch<T>,
    /// Probes of a full sketch.
    full: usize,
    /// What full sketches gave.
    done: Vec<ValueError>,
}

/// Numbers that the probes of a sketch may have on all ranks together.
const MOST_NUMBERS: usize = 1 << 28;

/// The most probes of a sketch, for estimates of memory: the same on any number of ranks.
pub fn largest_sketch(n: usize, per_trajectory: usize) -> usize {
    (MOST_NUMBERS / n.max(1)).clamp(64, 512).min(per_trajectory).max(1)
}

impl<T: Real> Ladder<T> {
    pub fn new(problem: &Problem<'_, T>) -> Self {
        let full = largest_sketch(problem.len(), problem.shape().per_trajectory());
        Self { sketch: Sketch::new(problem, SKETCHES), full, done: Vec::new() }
    }

    /// Goes on to `total` products. Collective.
    pub fn climb(&mut self, problem: &Problem<'_, T>, total: usize) -> Result<ValueError> {
        while total >= (self.done.len() + 1) * self.full {
            let one = self.evaluate(problem, self.full)?;
            self.done.push(one);
            self.sketch = Sketch::from(problem, SKETCHES, self.done.len() * self.full);
        }
        let rest = total - self.done.len() * self.full;
        let last = if rest > 0 { Some(self.evaluate(problem, rest)?) } else { None };
        // Independent estimates; full ones weigh the same. The last weighs by its products, and less where its error says so: a small sketch
        // beside a full one, whose error is that of a spectrum's far end, would spoil it.
        let share = rest as f64 / self.full as f64;
        let worst = self.done.iter().map(|part| part.1).fold(0.0, f64::max);
        let weight = match last {
            Some((_, error)) if !self.done.is_empty() && error > worst => share.min((worst / error).powi(2)),
            _ => share,
        };
        let sum = self.done.len() as f64 + weight;
        let parts = self.done.iter().map(|part| (1.0 / sum, part)).chain(last.iter().map(|part| (weight / sum, part)));
        // A single probe says nothing of its error, which is infinite: beside a full sketch it does not count.
        let parts = parts.filter(|(w, _)| *w > 0.0);
        let (value, square) = parts.fold((0.0, 0.0), |(v, s), (w, (x, e))| (v + w * x, s + (w * e).powi(2)));
        Ok((value, square.sqrt()))
    }

    fn evaluate(&mut self, problem: &Problem<'_, T>, probes: usize) -> Result<ValueError> {
        self.sketch.extend(problem, probes);
        let count = problem.shape().trajectories;
        // A trajectory's value, squared error and its square, and whether it failed.
        let mut out = vec![0.0f64; 4 * count];
        let (engine, sketch, first, extent) = (problem.engine, &self.sketch, problem.first, problem.extent());
        engine.for_each(count, &mut out, 4, &mut [], 0, |b, out, _: &mut [f64]| {
            match trajectory(engine, sketch, (b, extent.of(first + b))) {
                Ok((value, error)) => out.copy_from_slice(&[value, error.powi(2), error.powi(4), 0.0]),
                Err(_) => out[3] = 1.0,
            }
        });
        let mut sums = [0.0; 4];
        out.chunks(4).for_each(|o| sums.iter_mut().zip(o).for_each(|(s, x)| *s += x));
        problem.grid().sum(&mut sums);
        if sums[3] > 0.0 {
            return Err(Error::run(
                "the operator is not positive semidefinite, which this method needs; take per_trajectory or hutchinson",
            ));
        }
        let error = pooled(sums[1], sums[2], probes as f64 - 1.0);
        Ok((sums[0], floor(error, sums[0], T::epsilon().f64())))
    }
}

/// What one trajectory's look at a sketch of these probes and products makes, for `plan` to see how long that takes.
pub fn look_at<T: Real>(engine: &Engine, omega: Tall<T>, y: Tall<T>) -> Result<(f64, f64)> {
    let numbers = omega.shape.per_trajectory();
    trajectory(engine, &Sketch::of(omega, y), (0, numbers))
}

/// What a trajectory, of so many numbers, says of its trace.
fn trajectory<T: Real>(engine: &Engine, sketch: &Sketch<T>, (b, numbers): (usize, usize)) -> Result<ValueError> {
    if numbers == 0 {
        return Ok((0.0, 0.0));
    }
    match sketch.factors_of(b, numbers)? {
        Some(factors) => exchangeable(engine, &factors, T::epsilon().f64()),
        None => Ok((f64::NAN, f64::NAN)),
    }
}
