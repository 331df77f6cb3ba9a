//! Hutchinson's trace estimator without allocation.

use super::gram::dot;
use super::Probe;
use crate::{BlockMut, BlockRef, LinearOperator, Scalar};
use core::ops::Range;

/// The running mean and variance of independent samples (Welford 1962).
///
/// ```
/// use kpflow_core::probe::Running;
/// let mut running = Running::default();
/// [1.0, 2.0, 3.0, 6.0].into_iter().for_each(|x| running.push(x));
/// assert_eq!((running.count(), running.mean(), running.variance()), (4, 3.0, 14.0 / 3.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Running {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Running {
    /// Adds a sample.
    pub fn push(&mut self, sample: f64) {
        self.count += 1;
        let off = sample - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (sample - self.mean);
    }

    /// Adds all samples of another (Chan, Golub and LeVeque 1983).
    pub fn merge(&mut self, other: &Running) {
        let count = self.count + other.count;
        if other.count == 0 {
            return;
        }
        let off = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + off * off * share * self.count as f64;
        self.mean += off * share;
        self.count = count;
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 if there is none.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The unbiased estimate of their variance; infinite below two samples, which say nothing about it.
    pub fn variance(&self) -> f64 {
        if self.count < 2 {
            return f64::INFINITY;
        }
        self.squares / (self.count - 1) as f64
    }

    /// The standard error of the mean, √(variance / count); infinite below two samples.
    pub fn standard_error(&self) -> f64 {
        if self.count < 2 {
            return f64::INFINITY;
        }
        num_traits::Float::sqrt(self.variance() / self.count as f64)
    }
}

/// Estimates `tr A = E ⟨x, A x⟩` (Hutchinson 1990) from the probe's vectors number `vectors`, `block` at a time.
///
/// For an operator whose trajectories are all here. Ranges of vectors that do not overlap give independent estimates, to be
/// [merged](Running::merge). **Shapes**: A maps a space to itself; `x` and `y` hold `block · B·T·N` numbers, `scratch` is of
/// `scratch_len(block)`. **Cost**: one product a vector. **Accuracy**: unbiased; with Rademacher numbers and A symmetric each sample's variance is
/// `2 Σ_{i≠j} A_ij²`, with Gaussian ones `2 ‖A‖_F²`. **Determinism**: to rounding, whatever `block` is.
///
/// ```
/// use kpflow_core::operator::{Identity, Scale};
/// use kpflow_core::probe::{hutchinson, Distribution, Probe};
/// use kpflow_core::Shape;
/// let op = Scale::new(2.0, Identity(Shape::new(2, 3, 4)));
/// let probe = Probe { seed: 0, stream: 0, distribution: Distribution::Rademacher };
/// let (mut x, mut y) = ([0.0; 48], [0.0; 48]);
/// let trace = hutchinson(&op, &probe, 0..5, 2, &mut x, &mut y, &mut []);
/// assert_eq!((trace.count(), trace.mean(), trace.standard_error()), (5, 48.0, 0.0));
/// ```
///
/// # Panics
/// If A is not square, `block` is 0 or a buffer too short.
pub fn hutchinson<T: Scalar>(
    op: &dyn LinearOperator<T>,
    probe: &Probe,
    vectors: Range<usize>,
    block: usize,
    x: &mut [T],
    y: &mut [T],
    scratch: &mut [T],
) -> Running {
    let shape = op.domain();
    assert_eq!(shape, op.codomain(), "only a square operator has a trace");
    assert!(block > 0, "a block must have a vector");
    let mut running = Running::default();
    for first in vectors.clone().step_by(block) {
        let m = block.min(vectors.end - first);
        let (x, y) = (&mut x[..m * shape.len()], &mut y[..m * shape.len()]);
        probe.fill(0, first, BlockMut::new(shape, m, x));
        op.apply(BlockRef::new(shape, m, x), BlockMut::new(shape, m, y), scratch);
        let (x, y) = (BlockRef::new(shape, m, x), BlockRef::new(shape, m, y));
        for v in 0..m {
            running.push((0..shape.trajectories).map(|b| dot(x.part(b, v), y.part(b, v))).sum());
        }
    }
    running
}
