//! What numbers are computed with.

use kpflow_core::machine::{Kernel, Tasks};
use kpflow_core::Scalar;

/// Kernels in both precisions, and threads.
pub trait Workers<T: Scalar>: Tasks + Kernel<T> + Kernel<f64> {}
impl<T: Scalar, M: Tasks + Kernel<T> + Kernel<f64>> Workers<T> for M {}
