//! A machine of one thread and one process, in plain safe Rust.

use super::{Kernel, MatMut, MatRef, Reduce, Tasks};
use crate::Scalar;

/// The machine that needs nothing but `core`: one thread, one process, portable kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl<T: Scalar> Kernel<T> for Portable {
    fn gemm(&self, alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>) {
        assert!(a.rows == c.rows && b.cols == c.cols && a.cols == b.rows, "a matrix product's shapes must agree");
        let (ars, acs) = a.strides();
        let (brs, bcs) = b.strides();
        for i in 0..c.rows {
            let row = &mut c.data[i * c.ld..][..c.cols];
            if beta == T::zero() {
                row.fill(T::zero());
            } else if beta != T::one() {
                row.iter_mut().for_each(|x| *x *= beta);
            }
            for k in 0..a.cols {
                let f = alpha * a.data[i * ars + k * acs];
                for (j, x) in row.iter_mut().enumerate() {
                    *x += f * b.data[k * brs + j * bcs];
                }
            }
        }
    }
}

impl<T: Scalar> Reduce<T> for Portable {
    fn sum(&self, _values: &mut [T]) {}
    fn gather(&self, local: &[T], all: &mut [T]) {
        all.copy_from_slice(local);
    }
    fn sum_count(&self, count: usize) -> usize {
        count
    }
}

impl Tasks for Portable {
    fn lanes(&self) -> usize {
        1
    }
    fn for_each<T: Scalar, F>(&self, count: usize, a: &mut [T], a_len: usize, b: &mut [T], b_len: usize, task: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        let (mut a, mut b) = (a, b);
        for i in 0..count {
            let (ai, rest_a) = a.split_at_mut(a_len.min(a.len()));
            let (bi, rest_b) = b.split_at_mut(b_len.min(b.len()));
            task(i, ai, bi);
            (a, b) = (rest_a, rest_b);
        }
    }
}

#[inline]
pub(super) fn diagonal<T: Scalar>(c: &[T], x: &[T], x_stride: usize, y: &mut [T], y_stride: usize, rows: usize) {
    let n = c.len();
    for v in 0..rows {
        let x = &x[v * x_stride..][..n];
        let y = &mut y[v * y_stride..][..n];
        for j in 0..n {
            y[j] += c[j] * x[j];
        }
    }
}
