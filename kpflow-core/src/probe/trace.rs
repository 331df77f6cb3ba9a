//! Hutchinson's trace estimator without allocation.

use super::gram::dot;
use super::Probe;
use crate::error::{length, same};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar};
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
        self.count = self.count.saturating_add(1);
        let off = sample - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (sample - self.mean);
    }

    /// Adds all samples of another (Chan, Golub and LeVeque 1983).
    pub fn merge(&mut self, other: &Running) {
        let count = self.count.saturating_add(other.count);
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
/// use kpflow_core::operator::{Identity, Scaled};
/// use kpflow_core::probe::{hutchinson, Distribution, Probe};
/// use kpflow_core::Shape;
/// let op = Scaled::new(2.0, Identity(Shape::new(2, 3, 4)));
/// let probe = Probe { seed: 0, stream: 0, distribution: Distribution::Rademacher };
/// let (mut x, mut y) = ([0.0; 48], [0.0; 48]);
/// let trace = hutchinson(&op, &probe, 0..5, 2, &mut x, &mut y, &mut [])?;
/// assert_eq!((trace.count(), trace.mean(), trace.standard_error()), (5, 48.0, 0.0));
/// # Ok::<(), kpflow_core::Error>(())
/// ```
///
/// **Errors**: if A is not square, `block` is 0 or a buffer too short.
pub fn hutchinson<T: Scalar>(
    op: &dyn LinearOperator<T>,
    probe: &Probe,
    vectors: Range<usize>,
    block: usize,
    x: &mut [T],
    y: &mut [T],
    scratch: &mut [T],
) -> Result<Running, Error> {
    let shape = op.domain();
    same(shape, op.codomain())?;
    if block == 0 {
        return Err(Error::Vectors { expected: 1, found: 0 });
    }
    let longest = block.min(vectors.len()).saturating_mul(shape.len());
    length(longest, x.len().min(longest))?;
    length(longest, y.len().min(longest))?;
    let mut running = Running::default();
    for first in vectors.clone().step_by(block) {
        let m = block.min(vectors.end - first);
        let (x, y) = (&mut x[..m * shape.len()], &mut y[..m * shape.len()]);
        probe.fill(0, first, BlockMut::of(shape, m, x))?;
        op.apply(BlockRef::of(shape, m, x), BlockMut::of(shape, m, y), scratch)?;
        let (x, y) = (BlockRef::of(shape, m, x), BlockRef::of(shape, m, y));
        for v in 0..m {
            running.push((0..shape.trajectories).map(|b| dot(x.at(b, v), y.at(b, v))).sum());
        }
    }
    Ok(running)
}
