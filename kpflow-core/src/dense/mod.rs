//! Small dense matrices: eigenpairs, singular values, linear systems, square roots and powers, in memory that the caller gives.
//!
//! All of it works in doubles and in place, row-major and contiguous: it is meant for the *factors* of Kronecker products and for Gram
//! matrices, a few hundred wide at most. The methods are the ones that need no memory of their own and are as accurate as any: Jacobi's rotations
//! for eigenvalues and singular values, elimination with partial pivoting for systems. Numbers must be finite; what is
//! not, and every buffer of another size, is an [`Error`].

mod eigen;
mod elimination;
mod function;
mod singular;

pub use eigen::{symmetric_eigen, symmetric_eigenvalues};
pub use elimination::{invert, log_determinant, solve, LogDeterminant};
pub use function::{power, power_scratch_len, square_root, square_root_scratch_len};
pub use singular::{rank, singular_values};

use crate::Error;

/// Sweeps of rotations after which Jacobi's methods give up. They converge quadratically: some 5 to 12 are made.
const SWEEPS: usize = 60;

/// rows · cols.
pub(crate) fn area(rows: usize, cols: usize) -> Result<usize, Error> {
    rows.checked_mul(cols).ok_or(Error::Overflow { left: rows, right: cols })
}

fn finite(a: &[f64]) -> Result<(), Error> {
    match a.iter().position(|x| !x.is_finite()) {
        Some(place) => Err(Error::NotFinite { place }),
        None => Ok(()),
    }
}

/// The largest absolute value.
fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |m, x| libm::fmax(m, libm::fabs(*x)))
}

/// Divides all by a power of two that brings the largest near 1, so that squares neither overflow nor vanish; returns the power.
fn normalise(a: &mut [f64]) -> f64 {
    let largest = largest(a);
    if largest == 0.0 {
        return 1.0;
    }
    let exponent = libm::ilogb(largest).clamp(-1020, 1020);
    let (scale, inverse) = (libm::ldexp(1.0, exponent), libm::ldexp(1.0, -exponent));
    a.iter_mut().for_each(|x| *x *= inverse);
    scale
}

/// The angle that makes the symmetric pair of rows (p, q) orthogonal: (cos, sin, tan) from a_pp, a_qq and a_pq ≠ 0.
fn rotation(pp: f64, qq: f64, pq: f64) -> (f64, f64, f64) {
    let theta = (qq - pp) / (2.0 * pq);
    // For a large θ its square may overflow; the limit 1/(2θ) is then exact.
    let t = if libm::fabs(theta) > 1e150 {
        0.5 / theta
    } else {
        libm::copysign(1.0, theta) / (libm::fabs(theta) + libm::sqrt(theta * theta + 1.0))
    };
    let c = 1.0 / libm::sqrt(t * t + 1.0);
    (c, t * c, t)
}

/// Two different rows of a matrix of `len` columns, p < q.
fn rows_mut(a: &mut [f64], len: usize, p: usize, q: usize) -> (&mut [f64], &mut [f64]) {
    let (head, tail) = a.split_at_mut(q * len);
    (&mut head[p * len..][..len], &mut tail[..len])
}

/// Sorts values, largest first, and with them the rows of a matrix of `len` columns.
fn sort(values: &mut [f64], rows: &mut [f64], len: usize) {
    for i in 0..values.len() {
        let best = (i + 1..values.len()).fold(i, |best, j| if values[j] > values[best] { j } else { best });
        if best != i {
            values.swap(i, best);
            let (x, y) = rows_mut(rows, len, i, best);
            x.swap_with_slice(y);
        }
    }
}

/// Replaces the rows (x, y) by (c x − s y, s x + c y).
fn rotate(x: &mut [f64], y: &mut [f64], c: f64, s: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
