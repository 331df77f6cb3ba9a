//! OpenBLAS.

use super::{leading, prepare, stored, Blas};
use cblas_sys::{cblas_dgemm, cblas_sgemm, CBLAS_LAYOUT, CBLAS_TRANSPOSE};
use kpflow_core::machine::{MatMut, MatRef};

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

fn trans<T>(m: &MatRef<'_, T>) -> CBLAS_TRANSPOSE {
    if m.transposed {
        CBLAS_TRANSPOSE::CblasTrans
    } else {
        CBLAS_TRANSPOSE::CblasNoTrans
    }
}

macro_rules! blas {
    ($t:ty, $gemm:ident) => {
        impl Blas for $t {
            fn gemm(alpha: Self, a: MatRef<'_, Self>, b: MatRef<'_, Self>, beta: Self, mut c: MatMut<'_, Self>) {
                if !prepare(&a, &b, beta, &mut c) {
                    return;
                }
                let (lda, ldb, ldc) = (int(stored(&a).2), int(stored(&b).2), int(leading(c.rows, c.cols, c.ld)));
                // SAFETY: `prepare` has checked that the shapes agree and that every matrix, with these dimensions and leading
                // dimensions, lies within its slice.
                unsafe {
                    $gemm(
                        CBLAS_LAYOUT::CblasRowMajor,
                        trans(&a),
                        trans(&b),
                        int(c.rows),
                        int(c.cols),
                        int(a.cols),
                        alpha,
                        a.data.as_ptr(),
                        lda,
                        b.data.as_ptr(),
                        ldb,
                        beta,
                        c.data.as_mut_ptr(),
                        ldc,
                    );
                }
            }
        }
    };
}

blas!(f32, cblas_sgemm);
blas!(f64, cblas_dgemm);
