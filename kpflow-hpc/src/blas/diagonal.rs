//! The diagonal multiply-add of unit-wise clusters, compiled for the vector units that the processor turns out to have.

use kpflow_core::machine::diagonal as body;
use kpflow_core::Scalar;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<T: Scalar>(c: &[T], x: &[T], x_stride: usize, y: &mut [T], y_stride: usize, rows: usize) {
    body(c, x, x_stride, y, y_stride, rows);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<T: Scalar>(c: &[T], x: &[T], x_stride: usize, y: &mut [T], y_stride: usize, rows: usize) {
    body(c, x, x_stride, y, y_stride, rows);
}

/// Computes `y[v][j] += c[j]·x[v][j]` for every row v. Products and sums are rounded one by one: the same bits on every processor.
#[inline]
pub fn diagonal<T: Scalar>(c: &[T], x: &[T], x_stride: usize, y: &mut [T], y_stride: usize, rows: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { avx512(c, x, x_stride, y, y_stride, rows) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { avx2(c, x, x_stride, y, y_stride, rows) };
        }
    }
    body(c, x, x_stride, y, y_stride, rows);
}
