//! Pure Rust: the crate matrixmultiply, which picks AVX or FMA kernels when it runs.

use super::{anything, Blas};
use kpflow_core::machine::Gemm;

pub fn name() -> String {
    "matrixmultiply".into()
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
    ($t:ty, $gemm:ident) => {
        impl Blas for $t {
            fn gemm(alpha: Self, gemm: Gemm<'_, Self>, beta: Self) {
                let (a, b, mut c) = gemm.into_parts();
                if !anything(a.cols(), beta, &mut c) {
                    return;
                }
                let ((ars, acs), (brs, bcs)) = (a.strides(), b.strides());
                // SAFETY: a `Gemm` has shapes that agree, and a view lies within its slice.
                unsafe {
                    matrixmultiply::$gemm(
                        c.rows(),
                        a.cols(),
                        c.cols(),
                        alpha,
                        a.data().as_ptr(),
                        ars as isize,
                        acs as isize,
                        b.data().as_ptr(),
                        brs as isize,
                        bcs as isize,
                        beta,
                        c.data().as_mut_ptr(),
                        c.ld() as isize,
                        1,
                    );
                }
            }
        }
    };
}

blas!(f32, sgemm);
blas!(f64, dgemm);
