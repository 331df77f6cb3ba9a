//! Random vectors that do not depend on how the work is divided.
//!
//! Every number of a probe is a function of its coordinates alone: (seed, stream, vector, trajectory, step, unit). Any part of any
//! probe can be made by itself, on any rank, in any order.

mod gram;
mod philox;
mod power;
mod trace;

pub use gram::add_gram;
pub(crate) use gram::dot;
pub use philox::philox4x32;
pub use power::{power_iteration, Power, StopReason};
pub use trace::{hutchinson, Running};

use crate::error::at_most;
use crate::{BlockMut, Error, Scalar};

/// The distribution of a probe's independent numbers, all of mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// ±1 with equal probability: the smallest variance of a quadratic form's estimate.
    Rademacher,
    /// Standard normal: rotation invariant, for sketches.
    Gaussian,
}

/// A family of random vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The job's seed: the key of the generator.
    pub seed: u64,
    /// Which of the job's independent families, below 2⁸.
    pub stream: u32,
    /// The distribution of the numbers.
    pub distribution: Distribution,
}

/// Numbers that one call of the generator gives.
const RADEMACHER: usize = 128;
const GAUSSIAN: usize = 4;

impl Probe {
    /// Fills a block with the vectors `first_vector ..`, in the trajectories `first_trajectory ..`.
    ///
    /// The counter is (chunk of units + 2²⁴·stream, step, trajectory, vector), the key is the seed.
    /// **Cost**: one call of the generator for 128 signs or 4 normals. **Determinism**: bitwise, however the work is divided; `f32`
    /// numbers are the `f64` ones rounded. Normals go through the ln, sin and cos of the platform's mathematics library,
    /// whose last bits are its own. **Accuracy**: normals end at ±6.8, since their uniforms have 32 bits.
    ///
    /// ```
    /// use kpflow_core::{probe::{Distribution, Probe}, BlockMut, Shape};
    /// let probe = Probe { seed: 1, stream: 0, distribution: Distribution::Rademacher };
    /// let mut all = [0.0; 2 * 3 * 5];
    /// probe.fill(0, 0, BlockMut::new(Shape::new(2, 3, 5), 1, &mut all)?)?;
    /// let mut second_trajectory = [0.0; 3 * 5];
    /// probe.fill(1, 0, BlockMut::new(Shape::new(1, 3, 5), 1, &mut second_trajectory)?)?;
    /// assert_eq!(all[15..], second_trajectory);
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
    ///
    /// **Errors**: where numbers would repeat: beyond 2³² vectors, trajectories or steps, 2²⁶ units, 2⁸ streams.
    pub fn fill<T: Scalar>(
        &self,
        first_trajectory: usize,
        first_vector: usize,
        mut block: BlockMut<'_, T>,
    ) -> Result<(), Error> {
        let shape = block.shape();
        let limit = |first: usize, count: usize, bits: u32| {
            let most = 1usize.checked_shl(bits).filter(|most| *most > 0).unwrap_or(usize::MAX);
            at_most(most, first.saturating_add(count))
        };
        limit(first_vector, block.vectors(), 32)?;
        limit(first_trajectory, shape.trajectories, 32)?;
        limit(0, shape.steps, 32)?;
        limit(0, shape.units, 26)?;
        limit(self.stream as usize, 1, 8)?;
        if block.data().is_empty() {
            return Ok(());
        }
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        for b in 0..shape.trajectories {
            for v in 0..block.vectors() {
                let part = block.at(b, v);
                for (t, row) in part.chunks_mut(shape.units.max(1)).enumerate() {
                    let counter = |chunk: usize| {
                        [
                            (self.stream << 24) | chunk as u32,
                            t as u32,
                            (first_trajectory + b) as u32,
                            (first_vector + v) as u32,
                        ]
                    };
                    match self.distribution {
                        Distribution::Rademacher => {
                            for (c, numbers) in row.chunks_mut(RADEMACHER).enumerate() {
                                signs(philox4x32(counter(c), key), numbers);
                            }
                        }
                        Distribution::Gaussian => {
                            for (c, numbers) in row.chunks_mut(GAUSSIAN).enumerate() {
                                let normals = normals(philox4x32(counter(c), key));
                                numbers.iter_mut().zip(normals).for_each(|(x, z)| *x = T::of(z));
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// One bit a number.
fn signs<T: Scalar>(words: [u32; 4], out: &mut [T]) {
    for (word, numbers) in words.into_iter().zip(out.chunks_mut(32)) {
        for (i, x) in numbers.iter_mut().enumerate() {
            *x = if (word >> i) & 1 == 0 { T::one() } else { -T::one() };
        }
    }
}

/// Four normal numbers by Box and Muller's transform (1958), from uniforms at the middles of 2³² equal intervals: never ln 0.
fn normals(words: [u32; 4]) -> [f64; 4] {
    let u = words.map(|w| (f64::from(w) + 0.5) / 4294967296.0);
    let polar = |u: f64, v: f64| {
        let (r, angle) = (num_traits::Float::sqrt(-2.0 * num_traits::Float::ln(u)), core::f64::consts::TAU * v);
        (r * num_traits::Float::cos(angle), r * num_traits::Float::sin(angle))
    };
    let (a, b) = polar(u[0], u[1]);
    let (c, d) = polar(u[2], u[3]);
    [a, b, c, d]
}
