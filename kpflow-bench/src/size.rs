//! The sizes of what is measured, and the numbers that fill it.

use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Scalar, Shape};
use kpflow_hpc::error::fits;

/// A size of a problem.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub hidden: usize,
    pub trajectories: usize,
    pub steps: usize,
    pub inputs: usize,
    pub block: usize,
}

/// The sizes that the bars are about.
pub const SIZES: [Size; 3] = [
    Size { hidden: 64, trajectories: 50, steps: 16, inputs: 10, block: 32 },
    Size { hidden: 256, trajectories: 20, steps: 90, inputs: 10, block: 32 },
    Size { hidden: 1024, trajectories: 8, steps: 50, inputs: 10, block: 32 },
];

/// Gaussian numbers of standard deviation `scale`.
pub fn numbers<T: Scalar>(count: usize, stream: u32, scale: f64) -> Vec<T> {
    let mut x = vec![T::zero(); count];
    let shape = Shape::new(1, count, 1);
    let probe = Probe { seed: 1, stream, distribution: Distribution::Gaussian };
    fits(BlockMut::new(shape, 1, &mut x).and_then(|block| probe.fill(0, 0, block)));
    x.iter_mut().for_each(|x| *x *= T::of(scale));
    x
}
