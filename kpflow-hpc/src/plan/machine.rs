//! A machine that is only imagined: it has ranks and lanes, and computes nothing.

use kpflow_core::machine::{Gemm, Kernel, Reduce, Tasks};
use kpflow_core::{Error, Scalar};

/// What an operator of an outline asks of a machine: how many trajectories there are in all, how many processes and how many lanes.
///
/// Operators of outlines refuse to be applied before they come to a kernel or a sum, so that none of these does anything.
pub(super) struct Imagined {
    pub ranks: usize,
    pub trajectories: usize,
    pub lanes: usize,
}

impl<T: Scalar> Kernel<T> for Imagined {
    fn gemm(&self, _alpha: T, _gemm: Gemm<'_, T>, _beta: T) {}
    fn prefers_plain(&self, inner: usize, cols: usize) -> bool {
        crate::blas::prefers_plain(inner, cols)
    }
}

impl<T: Scalar> Reduce<T> for Imagined {
    fn sum(&self, _values: &mut [T]) {}
    fn gather(&self, local: &[T], all: &mut [T]) -> Result<(), Error> {
        Err(Error::Length { expected: all.len(), found: local.len() })
    }
    /// A rank counts itself, or its trajectories: where both are one, there are as many ranks as trajectories.
    fn sum_count(&self, count: usize) -> usize {
        if count == 1 {
            self.ranks
        } else {
            self.trajectories
        }
    }
}

impl Tasks for Imagined {
    fn lanes(&self) -> usize {
        self.lanes
    }
    fn for_each<T: Scalar, F>(&self, _: usize, _: &mut [T], _: usize, _: &mut [T], _: usize, _: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
    }
}
