//! A machine of one thread and one process, in plain safe Rust.

use super::{Gemm, Kernel, MatRef, Reduce, Tasks};
use crate::error::length;
use crate::{Error, Scalar};

/// The machine that needs nothing but `core`: one thread, one process, portable kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

/// Rows and columns of C that are kept in registers, and how much of the inner dimension is packed at a time.
const MR: usize = 4;
const NR: usize = 16;
const KC: usize = 64;

impl<T: Scalar> Kernel<T> for Portable {
    fn gemm(&self, alpha: T, gemm: Gemm<'_, T>, beta: T) {
        let (a, b, c) = gemm.into_parts();
        if c.cols == 0 {
            return;
        }
        for i in 0..c.rows {
            let row = &mut c.data[i * c.ld..][..c.cols];
            if beta == T::zero() {
                row.fill(T::zero());
            } else if beta != T::one() {
                row.iter_mut().for_each(|x| *x *= beta);
            }
        }
        let mut right = [[T::zero(); NR]; KC];
        let mut left = [[T::zero(); MR]; KC];
        for k in (0..a.cols).step_by(KC) {
            let depth = KC.min(a.cols - k);
            for j in (0..c.cols).step_by(NR) {
                let cols = NR.min(c.cols - j);
                pack(b, k, j, &mut right[..depth], cols);
                for i in (0..c.rows).step_by(MR) {
                    let rows = MR.min(c.rows - i);
                    pack(a.t(), k, i, &mut left[..depth], rows);
                    let tile = product(&left[..depth], &right[..depth]);
                    for (r, line) in tile.iter().enumerate().take(rows) {
                        let out = &mut c.data[(i + r) * c.ld + j..][..cols];
                        out.iter_mut().zip(line).for_each(|(x, t)| *x += alpha * *t);
                    }
                }
            }
        }
    }
}

/// Copies rows `k ..` and columns `j .. j + cols` of a matrix, padded with zeros, so that the product reads memory in order.
#[inline]
fn pack<T: Scalar, const W: usize>(m: MatRef<'_, T>, k: usize, j: usize, out: &mut [[T; W]], cols: usize) {
    let (rs, cs) = m.strides();
    for (p, row) in out.iter_mut().enumerate() {
        if cs == 1 {
            row[..cols].copy_from_slice(&m.data[(k + p) * rs + j..][..cols]);
        } else {
            let base = (k + p) * rs + j * cs;
            row[..cols].iter_mut().enumerate().for_each(|(q, x)| *x = m.data[base + q * cs]);
        }
        row[cols..].fill(T::zero());
    }
}

/// Σ_k left[k]ᵀ right[k]. Four separate rows of accumulators, one loop over their columns: what LLVM turns into vector registers
/// for every processor that was tried (nested loops over one array it leaves scalar with AVX).
#[inline]
fn product<T: Scalar>(left: &[[T; MR]], right: &[[T; NR]]) -> [[T; NR]; MR] {
    let [mut s0, mut s1, mut s2, mut s3] = [[T::zero(); NR]; MR];
    for (&[l0, l1, l2, l3], r) in left.iter().zip(right) {
        for q in 0..NR {
            s0[q] += l0 * r[q];
            s1[q] += l1 * r[q];
            s2[q] += l2 * r[q];
            s3[q] += l3 * r[q];
        }
    }
    [s0, s1, s2, s3]
}

impl<T: Scalar> Reduce<T> for Portable {
    fn sum(&self, _values: &mut [T]) {}
    fn gather(&self, local: &[T], all: &mut [T]) -> Result<(), Error> {
        length(local.len(), all.len())?;
        all.copy_from_slice(local);
        Ok(())
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
