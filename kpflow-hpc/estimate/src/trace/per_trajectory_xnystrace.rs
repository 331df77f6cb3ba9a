//! XNysTrace on every trajectory by itself.

use super::xnystrace::{exchangeable, floor, small};
use super::{factors_of, Sketch};
use crate::factor::trace;
use crate::interval::ValueError;
use crate::sampling::{grow, pooled};
use crate::space::{Budget, Small, Space, SKETCHES};
use crate::{Error, Estimate, Result};
use faer::linalg::solvers::Solve;
use faer::Mat;
use kpflow_core::machine::{Kernel, Tasks};

/// Estimates tr A = Σ_b tr A_bb from the block diagonal ⊕_b A_bb, by [`super::xnystrace`] on each block. Collective.
///
/// m products with the block diagonal, which need no communication, deflate rank m in *every* trajectory, and the errors of the trajectories,
/// whose probes are independent, add in squares.
/// **Cost**: one product a probe, O(n m²) flops beside it, 2 m vectors. **Accuracy**: as XNysTrace's, block by block. **Errors**: A is not positive
/// semidefinite.
pub fn per_trajectory_xnystrace<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let mut ladder = Ladder::new(space);
    grow(space, budget, usize::MAX, |total| ladder.climb(space, total))
}

/// Products with the block diagonal, more and more of them.
///
/// A sketch that is as large as a trajectory, or as memory allows, is done with; the next one is independent of it.
pub(super) struct Ladder<S: Space> {
    sketch: Sketch<S>,
    /// Probes of a full sketch.
    full: usize,
    /// What full sketches gave.
    done: Vec<ValueError>,
}

/// Numbers that the probes of a sketch may have on all ranks together.
const MOST_NUMBERS: usize = 1 << 28;

/// The most probes of a sketch: the same on any number of processes.
fn largest_sketch(n: usize, per_trajectory: usize) -> usize {
    (MOST_NUMBERS / n.max(1)).clamp(64, 512).min(per_trajectory).max(1)
}

impl<S: Space> Ladder<S> {
    pub fn new(space: &S) -> Self {
        let full = largest_sketch(space.len(), space.shape().per_trajectory());
        Self { sketch: Sketch::new(space, SKETCHES), full, done: Vec::new() }
    }

    /// Goes on to `total` products. Collective.
    pub fn climb(&mut self, space: &S, total: usize) -> Result<ValueError> {
        while total >= (self.done.len() + 1) * self.full {
            let one = self.evaluate(space, self.full)?;
            self.done.push(one);
            self.sketch = Sketch::from(space, SKETCHES, self.done.len() * self.full);
        }
        let rest = total - self.done.len() * self.full;
        let last = if rest > 0 { Some(self.evaluate(space, rest)?) } else { None };
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

    fn evaluate(&mut self, space: &S, probes: usize) -> Result<ValueError> {
        self.sketch.extend(space, probes)?;
        let (per, epsilon) = (space.shape().per_trajectory(), space.epsilon());
        // A trajectory's value, squared error and its square, and whether it failed.
        let [sum, squares, fourths, failed] = space.by_trajectory(
            &self.sketch.omega,
            &self.sketch.y,
            look(per, probes),
            |machine, omega, y| match look_at(machine, &omega, &y, epsilon) {
                Ok((value, error)) => [value, error.powi(2), error.powi(4), 0.0],
                Err(_) => [0.0, 0.0, 0.0, 1.0],
            },
        );
        if failed > 0.0 {
            return Err(Error::NotPositiveSemidefinite { instead: "per_trajectory or hutchinson" });
        }
        let error = pooled(squares, fourths, probes as f64 - 1.0);
        Ok((sum, floor(error, sum, epsilon)))
    }
}

/// The trace of A = YΩ⁻¹, of as many probes as there are numbers, and its error: A is symmetric but for what rounding, and the condition of the probes, have
/// made of it. Of n rows that err independently the trace has the n-th part of the squares, and the skew part half of them.
fn whole(omega: &Mat<f64>, y: &Mat<f64>) -> ValueError {
    let n = omega.nrows();
    let a = omega.transpose().partial_piv_lu().solve(y.transpose());
    let skew =
        (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| (a[(i, j)] - a[(j, i)]).powi(2)).sum::<f64>();
    (trace(&a), (skew / n as f64).sqrt())
}

/// What a look at m probes of one trajectory takes: three Gram matrices and two more passes over products that are whitened, and small factors.
pub fn look(per_trajectory: usize, m: usize) -> Small {
    let of = small(m);
    let flops = 10.0 * (per_trajectory * m) as f64 * m as f64 + of.flops;
    // Beside the columns, which are there in double precision: the products whitened.
    Small { flops, numbers: 2 * per_trajectory * m + of.numbers }
}

/// What one trajectory's probes and products, in double precision, say of its trace: the value and its standard error.
pub fn look_at(
    machine: &(impl Tasks + Kernel<f64>),
    omega: &Mat<f64>,
    y: &Mat<f64>,
    epsilon: f64,
) -> Result<ValueError> {
    if omega.ncols() == omega.nrows() {
        return Ok(whole(omega, y));
    }
    match factors_of(omega, y, epsilon)? {
        Some(factors) => exchangeable(machine, &factors),
        None => Ok((f64::NAN, f64::NAN)),
    }
}
