//! OpenBLAS.

use super::{anything, Blas};
use cblas_sys::{cblas_dgemm, cblas_sgemm, CBLAS_LAYOUT, CBLAS_TRANSPOSE};
use kpflow_core::machine::{Gemm, MatRef};

// Linked for their native library alone.
extern crate blas_src as _;
extern crate openblas_src as _;

pub const NAME: &str = "OpenBLAS";

extern "C" {
    fn openblas_set_num_threads(threads: std::ffi::c_int);
}

pub fn initialize() {
    // SAFETY: a plain setter of the library that is linked, called before any product.
    unsafe { openblas_set_num_threads(1) }
}

fn int(x: usize) -> i32 {
    i32::try_from(x).expect("a matrix dimension passes a C int")
}

/// A leading dimension that BLAS accepts (one row has none of its own).
fn stored<T>(m: &MatRef<'_, T>) -> usize {
    let (rows, cols) = if m.is_transposed() { (m.cols(), m.rows()) } else { (m.rows(), m.cols()) };
    leading(rows, cols, m.ld())
}

fn leading(rows: usize, cols: usize, ld: usize) -> usize {
    if rows > 1 {
        ld
    } else {
        ld.max(cols).max(1)
    }
}

fn trans<T>(m: &MatRef<'_, T>) -> CBLAS_TRANSPOSE {
    if m.is_transposed() {
        CBLAS_TRANSPOSE::CblasTrans
    } else {
        CBLAS_TRANSPOSE::CblasNoTrans
    }
}

macro_rules! blas {
    ($t:ty, $gemm:ident) => {
        impl Blas for $t {
            fn gemm(alpha: Self, gemm: Gemm<'_, Self>, beta: Self) {
                let (a, b, mut c) = gemm.into_parts();
                if !anything(a.cols(), beta, &mut c) {
                    return;
                }
                let (lda, ldb, ldc) = (int(stored(&a)), int(stored(&b)), int(leading(c.rows(), c.cols(), c.ld())));
                // SAFETY: a `Gemm` has shapes that agree, and a view lies within its slice, with these dimensions and leading
                // dimensions.
                unsafe {
                    $gemm(
                        CBLAS_LAYOUT::CblasRowMajor,
                        trans(&a),
                        trans(&b),
                        int(c.rows()),
                        int(c.cols()),
                        int(a.cols()),
                        alpha,
                        a.data().as_ptr(),
                        lda,
                        b.data().as_ptr(),
                        ldb,
                        beta,
                        c.data().as_mut_ptr(),
                        ldc,
                    );
                }
            }
        }
    };
}

blas!(f32, cblas_sgemm);
blas!(f64, cblas_dgemm);
