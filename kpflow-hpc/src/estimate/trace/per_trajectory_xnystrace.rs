//! XNysTrace on every trajectory by itself.

use super::xnystrace::{leave_one_out, summary, Small};
use super::Sketch;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::factor::{columns, squares};
use crate::estimate::sampling::{grow, mean, ValueError};
use crate::estimate::{Budget, Estimate, Family, Problem};
use faer::Mat;
use kpflow_core::machine::Tasks;
use kpflow_core::probe::Distribution;

/// Estimates tr A = Σ_b tr A_bb from the block diagonal ⊕_b A_bb, by [`super::xnystrace`] on each block. Collective.
///
/// m products with the block diagonal, which need no communication, deflate rank m in *every* trajectory, and the errors of the trajectories,
/// whose probes are independent, add in squares.
/// **Cost**: one product a probe, O(n m²) flops beside it, 2 m vectors. **Accuracy**: as XNysTrace's, block by block. **Errors**: A is not positive
/// semidefinite.
pub fn per_trajectory_xnystrace<T: Real>(problem: &Problem<'_, T>, budget: &Budget) -> Result<Estimate> {
    let mut ladder = Ladder::new(problem);
    grow(problem, budget, usize::MAX, |total| Ok(ladder.climb(problem, total)?.xnystrace))
}

/// The probes of each trajectory's sketch.
const FAMILY: Family = super::super::SKETCHES;

/// What the same products say by both estimators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Both {
    /// XNysTrace on each trajectory.
    pub xnystrace: ValueError,
    /// Hutchinson's mean on each trajectory.
    pub hutchinson: ValueError,
}

/// Products with the block diagonal, more and more of them.
///
/// A sketch that is as large as a trajectory, or as memory allows, is done with; the next one is independent of it.
pub(super) struct Ladder<T> {
    sketch: Sketch<T>,
    /// Probes of a full sketch.
    full: usize,
    /// What full sketches gave.
    done: Vec<Both>,
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
        Self { sketch: Sketch::new(problem, FAMILY), full, done: Vec::new() }
    }

    /// Goes on to `total` products. Collective.
    pub fn climb(&mut self, problem: &Problem<'_, T>, total: usize) -> Result<Both> {
        while total >= (self.done.len() + 1) * self.full {
            let one = self.evaluate(problem, self.full)?;
            self.done.push(one);
            self.sketch = Sketch::from(problem, FAMILY, self.done.len() * self.full);
        }
        let rest = total - self.done.len() * self.full;
        let last = if rest > 0 { Some(self.evaluate(problem, rest)?) } else { None };
        let parts = || self.done.iter().map(|b| (self.full, b)).chain(last.iter().map(|b| (rest, b)));
        // Independent estimates, weighed by their products.
        let mean = |of: fn(&Both) -> ValueError| {
            let weighed = parts().map(|(m, both)| (m as f64 / total as f64, of(both)));
            let (value, square) = weighed.fold((0.0, 0.0), |(v, s), (w, (x, e))| (v + w * x, s + (w * e).powi(2)));
            (value, square.sqrt())
        };
        Ok(Both { xnystrace: mean(|b| b.xnystrace), hutchinson: mean(|b| b.hutchinson) })
    }

    fn evaluate(&mut self, problem: &Problem<'_, T>, probes: usize) -> Result<Both> {
        self.sketch.extend(problem, probes);
        let count = problem.shape().trajectories;
        // A trajectory's two values and squared errors, and whether it failed.
        let mut out = vec![0.0f64; 5 * count];
        let sketch = &self.sketch;
        problem.engine.for_each(count, &mut out, 5, &mut [], 0, |b, out, _: &mut [f64]| match trajectory(sketch, b) {
            Ok(Both { xnystrace: x, hutchinson: h }) => out.copy_from_slice(&[x.0, x.1 * x.1, h.0, h.1 * h.1, 0.0]),
            Err(_) => out[4] = 1.0,
        });
        let mut sums = [0.0; 5];
        out.chunks(5).for_each(|o| sums.iter_mut().zip(o).for_each(|(s, x)| *s += x));
        problem.comm().sum(&mut sums);
        if sums[4] > 0.0 {
            return Err(Error::run(
                "the operator is not positive semidefinite, which this method needs; take per_trajectory or hutchinson",
            ));
        }
        Ok(Both { xnystrace: (sums[0], sums[1].sqrt()), hutchinson: (sums[2], sums[3].sqrt()) })
    }
}

fn trajectory<T: Real>(sketch: &Sketch<T>, b: usize) -> Result<Both> {
    let epsilon = T::epsilon().f64();
    let (omega, mut y) = (columns(&sketch.omega, b), columns(&sketch.y, b));
    let (n, m) = (omega.nrows(), omega.ncols());
    let own = omega.transpose() * &omega;
    let samples: Vec<f64> = (0..m)
        .map(|i| {
            let q = omega.col(i).transpose() * y.col(i);
            // On the sphere a normal probe's quadratic form is free of what its length adds to the scatter.
            if FAMILY.distribution == Distribution::Gaussian {
                q * n as f64 / own[(i, i)]
            } else {
                q
            }
        })
        .collect();
    let squared: f64 = squares(&y).iter().sum();
    if !squared.is_finite() {
        let lost = (f64::NAN, f64::NAN);
        return Ok(Both { xnystrace: lost, hutchinson: lost });
    }
    let shift = epsilon * (squared / n as f64).sqrt();
    y += faer::Scale(shift) * &omega;
    let h = omega.transpose() * &y;
    let h = Mat::from_fn(m, m, |i, j| 0.5 * (h[(i, j)] + h[(j, i)]));
    let r = y.qr().thin_R().to_owned();
    let small = Small { n, shift, own, h, r, distribution: FAMILY.distribution };
    Ok(Both { xnystrace: summary(&leave_one_out(&small, epsilon)?, epsilon), hutchinson: mean(&samples) })
}
