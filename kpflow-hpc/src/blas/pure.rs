//! Pure Rust: the crate matrixmultiply, which picks AVX or FMA kernels when it runs.

use super::{prepare, Blas};
use kpflow_core::machine::{MatMut, MatRef};

pub const NAME: &str = "matrixmultiply";

pub fn initialize() {}

macro_rules! blas {
    ($t:ty, $gemm:ident) => {
        impl Blas for $t {
            fn gemm(alpha: Self, a: MatRef<'_, Self>, b: MatRef<'_, Self>, beta: Self, mut c: MatMut<'_, Self>) {
                if !prepare(&a, &b, beta, &mut c) {
                    return;
                }
                let ((ars, acs), (brs, bcs)) = (a.strides(), b.strides());
                // SAFETY: `prepare` has checked that the shapes agree and that every matrix lies within its slice.
                unsafe {
                    matrixmultiply::$gemm(
                        c.rows,
                        a.cols,
                        c.cols,
                        alpha,
                        a.data.as_ptr(),
                        ars as isize,
                        acs as isize,
                        b.data.as_ptr(),
                        brs as isize,
                        bcs as isize,
                        beta,
                        c.data.as_mut_ptr(),
                        c.ld as isize,
                        1,
                    );
                }
            }
        }
    };
}

blas!(f32, sgemm);
blas!(f64, dgemm);
