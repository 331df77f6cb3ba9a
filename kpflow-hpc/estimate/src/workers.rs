//! What numbers are computed with.

use crate::small::Decompose;
use kpflow_core::machine::{Kernel, Tasks};
use kpflow_core::Scalar;

/// Kernels in both precisions, threads, and decompositions.
pub trait Workers<T: Scalar>: Tasks + Kernel<T> + Kernel<f64> + Decompose {}
impl<T: Scalar, M: Tasks + Kernel<T> + Kernel<f64> + Decompose> Workers<T> for M {}
