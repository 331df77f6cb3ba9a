//! The sums of diagonals times rows of unit-wise clusters, compiled for the vector units that the processor turns out to have.

use kpflow_core::machine::{combine as body, Diagonals};
use kpflow_core::Scalar;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<T: Scalar>(sum: Diagonals<'_, T>) {
    body(sum);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<T: Scalar>(sum: Diagonals<'_, T>) {
    body(sum);
}

/// Computes `y[v][j] (+)= Σ_i c_i[j] · x_i[v][j]` for every row v. Products and sums are rounded one by one: the same bits on every
/// processor.
#[inline]
pub fn combine<T: Scalar>(sum: Diagonals<'_, T>) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { avx512(sum) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { avx2(sum) };
        }
    }
    body(sum);
}
