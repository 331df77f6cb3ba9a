//! Random vectors that do not depend on how the work is divided.
//!
//! Every number of a probe is a function of its coordinates alone: (seed, stream, vector, trajectory, step, unit). Any part of any
//! probe can be made by itself, on any rank, in any order.

mod philox;

pub use philox::philox4x32;

use crate::{BlockMut, Scalar};

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
    /// **Determinism**: bitwise, however the work is divided. **Limits**: 2³² vectors, trajectories and steps, 2²⁶ units (Gaussian),
    /// 2⁸ streams; beyond them numbers repeat.
    pub fn fill<T: Scalar>(&self, first_trajectory: usize, first_vector: usize, mut block: BlockMut<'_, T>) {
        let shape = block.shape();
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        for b in 0..shape.trajectories {
            for v in 0..block.vectors() {
                let part = block.part(b, v);
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

/// Four normal numbers by Box and Muller's transform (1958), from uniforms at the middles of 2³² equal intervals.
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
