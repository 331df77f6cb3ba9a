//! Linear systems, inverses and determinants by elimination with partial pivoting.

use super::{area, finite, rows_mut};
use crate::error::{length, Error};

/// A determinant by its sign and the logarithm of its absolute value, which does not overflow where the determinant does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogDeterminant {
    /// 1, −1, or 0 for a singular matrix.
    pub sign: f64,
    /// ln |det|; −∞ for a singular matrix.
    pub ln_abs: f64,
}

impl LogDeterminant {
    /// Of the identity.
    pub const ONE: Self = Self { sign: 1.0, ln_abs: 0.0 };

    /// The determinant itself; infinite or zero beyond the range of doubles.
    pub fn value(self) -> f64 {
        if self.sign == 0.0 {
            0.0
        } else {
            self.sign * libm::exp(self.ln_abs)
        }
    }

    /// That of a product with a matrix of the determinant `x`.
    pub fn times(self, x: f64) -> Self {
        let sign = match x {
            _ if x > 0.0 => self.sign,
            _ if x < 0.0 => -self.sign,
            _ => 0.0,
        };
        Self { sign, ln_abs: if sign == 0.0 { f64::NEG_INFINITY } else { self.ln_abs + libm::log(libm::fabs(x)) } }
    }

    /// That of a product of two matrices.
    pub fn and(self, other: Self) -> Self {
        let sign = self.sign * other.sign;
        Self { sign, ln_abs: if sign == 0.0 { f64::NEG_INFINITY } else { self.ln_abs + other.ln_abs } }
    }

    /// That of a matrix's power.
    pub fn power(self, exponent: usize) -> Self {
        if exponent == 0 {
            return Self::ONE;
        }
        let sign = if exponent % 2 == 0 { self.sign * self.sign } else { self.sign };
        Self { sign, ln_abs: if sign == 0.0 { f64::NEG_INFINITY } else { self.ln_abs * exponent as f64 } }
    }
}

/// Solves `A X = B` and tells the determinant of A.
///
/// Rows are exchanged so that the largest number of a column divides (partial pivoting), in A and B alike, so no permutation is kept.
/// **Shapes**: `a` `[n, n]`, which is lost; `b` `[n, cols]`, replaced by X. **Cost**: ⅔·n³ + 2·n²·cols flops. **Accuracy**: backward
/// stable but for matrices that do not arise in practice (Wilkinson); X is off by cond(A)·ε. **Errors**: [`Error::Singular`] if a pivot is exactly 0 (then B
/// is spoiled), a buffer of another length, a number that is not finite.
pub fn solve(n: usize, a: &mut [f64], cols: usize, b: &mut [f64]) -> Result<LogDeterminant, Error> {
    length(area(n, n)?, a.len())?;
    length(area(n, cols)?, b.len())?;
    finite(a)?;
    let determinant = eliminate(n, a, cols, b);
    if determinant.sign == 0.0 {
        return Err(Error::Singular { size: n });
    }
    for i in (0..n).rev() {
        let (head, solved) = b.split_at_mut((i + 1) * cols);
        let row = &mut head[i * cols..];
        for k in i + 1..n {
            let factor = a[i * n + k];
            row.iter_mut().zip(&solved[(k - i - 1) * cols..]).for_each(|(x, y)| *x -= factor * y);
        }
        row.iter_mut().for_each(|x| *x /= a[i * n + i]);
    }
    Ok(determinant)
}

/// Makes A an upper triangle, and does the same to B's rows.
fn eliminate(n: usize, a: &mut [f64], cols: usize, b: &mut [f64]) -> LogDeterminant {
    let mut determinant = LogDeterminant::ONE;
    for k in 0..n {
        let larger = |p: usize, i: usize| if libm::fabs(a[i * n + k]) > libm::fabs(a[p * n + k]) { i } else { p };
        let pivot = (k + 1..n).fold(k, larger);
        if pivot != k {
            determinant.sign = -determinant.sign;
            for (m, len) in [(&mut *a, n), (&mut *b, cols)] {
                let (x, y) = rows_mut(m, len, k, pivot);
                x.swap_with_slice(y);
            }
        }
        determinant = determinant.times(a[k * n + k]);
        if determinant.sign == 0.0 {
            return determinant;
        }
        for i in k + 1..n {
            let factor = a[i * n + k] / a[k * n + k];
            if factor == 0.0 {
                continue;
            }
            for (m, len) in [(&mut *a, n), (&mut *b, cols)] {
                let (x, y) = rows_mut(m, len, k, i);
                y.iter_mut().zip(x).for_each(|(y, x)| *y -= factor * *x);
            }
        }
    }
    determinant
}

/// Computes the determinant of a matrix.
///
/// **Shapes**: `a` `[n, n]`, which is lost. **Cost**: ⅔·n³ flops. **Accuracy**: that of a matrix within n·ε·‖A‖ of A. **Errors**: a buffer of another length, a
/// number that is not finite.
///
/// ```
/// use kpflow_core::dense::log_determinant;
/// assert_eq!(log_determinant(2, &mut [0.0, 1.0, 1.0, 0.0])?.value(), -1.0);
/// let mut large = [0.0; 4]; // det = 1e400
/// (large[0], large[3]) = (1e200, 1e200);
/// assert!((log_determinant(2, &mut large)?.ln_abs - 400.0 * 10f64.ln()).abs() < 1e-10);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub fn log_determinant(n: usize, a: &mut [f64]) -> Result<LogDeterminant, Error> {
    length(area(n, n)?, a.len())?;
    finite(a)?;
    Ok(eliminate(n, a, 0, &mut []))
}

/// Computes the inverse of a matrix.
///
/// **Shapes**: `a` `[n, n]`, which is lost; `inverse` `[n, n]`. **Cost**: 2⅔·n³ flops. **Accuracy**: cond(A)·ε. **Errors**: [`Error::Singular`] if the condition
/// ‖A‖₁‖A⁻¹‖₁ is 1/ε or more, so that no digit would be right; a buffer of another length, a number that is not finite.
pub fn invert(n: usize, a: &mut [f64], inverse: &mut [f64]) -> Result<(), Error> {
    length(area(n, n)?, inverse.len())?;
    let norm = |m: &[f64]| {
        let column = |j: usize| m.iter().skip(j).step_by(n).map(|x| libm::fabs(*x)).sum::<f64>();
        (0..n).map(column).fold(0.0, libm::fmax)
    };
    inverse.fill(0.0);
    (0..n).for_each(|i| inverse[i * n + i] = 1.0);
    let before = norm(a);
    solve(n, a, n, inverse)?;
    let condition = before * norm(inverse);
    if condition < 1.0 / f64::EPSILON {
        Ok(())
    } else {
        Err(Error::Singular { size: n })
    }
}
