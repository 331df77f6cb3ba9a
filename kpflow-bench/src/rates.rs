//! The machine's own limit: how fast its matrix products are, on square matrices and at the sizes of the sweeps.

use crate::clock::{median, Clock};
use crate::size::{numbers, Size};
use kpflow_core::machine::{Gemm, MatMut, MatRef, Tasks};
use kpflow_hpc::blas::{self, Blas};
use kpflow_hpc::engine::{Engine, Real};
use kpflow_hpc::error::fits;

/// GFLOP/s of all threads together, at the moments of the operators that they are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Square products of 1024.
    pub peak: f64,
    tangent: f64,
    cotangent: f64,
    pull: f64,
    push: f64,
}

/// One product (rows × inner)(inner × cols), either factor stored transposed, on every thread at once.
fn product<T: Blas>(engine: &Engine, clock: Clock, [rows, cols, inner]: [usize; 3], [ta, tb]: [bool; 2]) -> f64 {
    let (a, b) = (numbers::<T>(rows * inner, 1, 1.0), numbers::<T>(inner * cols, 2, 1.0));
    let view = |x, r, c, t| if t { fits(MatRef::new(x, c, r, r)).t() } else { fits(MatRef::new(x, r, c, c)) };
    let (lanes, len) = (engine.lanes(), rows * cols);
    // Small products are repeated: starting the threads is not what is measured.
    let repeat = (50_000_000 / (rows * cols * inner)).clamp(1, 1000);
    let mut c = vec![T::zero(); lanes * len];
    let time = median(clock, || {
        engine.for_each(lanes, &mut c, len, &mut [], 0, |_, c, _: &mut [T]| {
            for _ in 0..repeat {
                let (a, b) = (view(&a, rows, inner, ta), view(&b, inner, cols, tb));
                let product = Gemm::new(a, b, fits(MatMut::new(c, rows, cols, cols)));
                T::gemm(T::one(), fits(product), T::zero());
            }
        });
    });
    (lanes * repeat) as f64 * 2.0 * (rows * cols * inner) as f64 / time / 1e9
}

/// Square products of 1024.
pub fn peak<T: Blas>(engine: &Engine, clock: Clock) -> f64 {
    product::<T>(engine, clock, [1024; 3], [false, false])
}

impl Rates {
    /// Measures them for a cell of this many gates, in tiles of so many trajectories and vectors.
    pub fn measure<T: Real>(
        engine: &Engine,
        size: Size,
        gates: usize,
        (tile, vectors): (usize, usize),
        clock: Clock,
    ) -> Self {
        let clock = Clock { seconds: clock.seconds / 8.0 };
        let (h, rows, positions) = (size.hidden, tile * vectors, tile * size.steps);
        let (out, chunk, inner) = (gates * h, size.block.div_ceil(8) * gates * h, h + size.inputs + 2);
        // As the sweeps do it: transposed beforehand where products are faster so.
        let transposed = !blas::prefers_plain(h, out);
        Self {
            peak: peak::<T>(engine, clock),
            tangent: product::<T>(engine, clock, [rows, out, h], [false, transposed]),
            cotangent: product::<T>(engine, clock, [rows, h, out], [false, false]),
            pull: product::<T>(engine, clock, [inner, chunk, positions], [true, false]),
            push: product::<T>(engine, clock, [positions, chunk, inner], [false, false]),
        }
    }

    /// The mean of these and others: of the moments before and after something.
    pub fn with(&self, other: &Self) -> Self {
        let mean = |a: f64, b: f64| 0.5 * (a + b);
        Self {
            peak: mean(self.peak, other.peak),
            tangent: mean(self.tangent, other.tangent),
            cotangent: mean(self.cotangent, other.cotangent),
            pull: mean(self.pull, other.pull),
            push: mean(self.push, other.push),
        }
    }

    /// The rate of the products that an operator is made of, each with its part of the flops.
    pub fn used(&self, operator: &str) -> f64 {
        let mean = |rates: &[f64]| rates.len() as f64 / rates.iter().map(|r| 1.0 / r).sum::<f64>();
        match operator {
            "P" => self.tangent,
            "Pᵀ" => self.cotangent,
            "K" => mean(&[self.pull, self.push]),
            _ => mean(&[self.tangent, self.cotangent, self.pull, self.push]),
        }
    }
}

/// GB/s of x ← a x + y over memory far larger than the caches, all threads together.
pub fn bandwidth(engine: &Engine, clock: Clock) -> f64 {
    let n = 1 << 25;
    let (mut x, mut y) = (vec![1.0f64; n], vec![1.0f64; n]);
    let piece = n / engine.lanes();
    let time = median(clock, || {
        engine.for_each(engine.lanes(), &mut x, piece, &mut y, piece, |_, x, y| {
            x.iter_mut().zip(y.iter()).for_each(|(x, y)| *x = 0.5 * *x + *y);
        });
    });
    3.0 * 8.0 * n as f64 / time / 1e9
}
