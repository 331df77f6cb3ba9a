//! Pure Rust: the kernels of faer, which picks those of AVX2 or AVX-512 when it runs.

use super::{anything, Blas};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use kpflow_core::machine::Gemm;

pub fn name() -> String {
    "faer".into()
}

pub fn version() -> String {
    "none (faer's kernels, in Rust)".into()
}

pub fn initialize() {}

pub fn reads_in_place() -> bool {
    false
}

pub fn choose_kernels() {}

pub fn symmetric(_: &mut [f64], _: usize, _: bool, _: usize) -> Option<Vec<f64>> {
    None
}

pub fn symmetric_len(_: usize, _: bool) -> Option<usize> {
    None
}

macro_rules! blas {
    ($t:ty) => {
        impl Blas for $t {
            fn gemm(alpha: Self, gemm: Gemm<'_, Self>, beta: Self) {
                let (a, b, mut c) = gemm.into_parts();
                if !anything(a.cols(), beta, &mut c) {
                    return;
                }
                let (rows, cols, ld) = (c.rows(), c.cols(), c.ld());
                // It writes C anew, or adds to it.
                if beta != 0.0 && beta != 1.0 {
                    c.data().chunks_mut(ld.max(cols)).take(rows).for_each(|row| {
                        row[..cols].iter_mut().for_each(|x| *x *= beta);
                    });
                }
                let accumulate = if beta == 0.0 { Accum::Replace } else { Accum::Add };
                let strides = |(rows, cols): (usize, usize)| (rows as isize, cols as isize);
                let ((ars, acs), (brs, bcs)) = (strides(a.strides()), strides(b.strides()));
                // SAFETY: a `Gemm` has shapes that agree, and a view lies within its slice.
                unsafe {
                    let a = MatRef::from_raw_parts(a.data().as_ptr(), rows, a.cols(), ars, acs);
                    let b = MatRef::from_raw_parts(b.data().as_ptr(), a.ncols(), cols, brs, bcs);
                    let c = MatMut::from_raw_parts_mut(c.data().as_mut_ptr(), rows, cols, ld as isize, 1);
                    matmul(c, accumulate, a, b, alpha, Par::Seq);
                }
            }
        }
    };
}

blas!(f32);
blas!(f64);
