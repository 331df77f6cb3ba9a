//! Eigenpairs of symmetric matrices by cyclic Jacobi rotations.

use super::{area, finite, largest, normalise, rotate, rotation, rows_mut, sort, SWEEPS};
use crate::error::{length, Error};

/// Computes all eigenvalues and eigenvectors of a symmetric matrix, `A = Σ_i λ_i v_i v_iᵀ`.
///
/// Jacobi's method of 1846 by rows: every pair (p, q) is rotated until a_pq vanishes beside √(a_pp a_qq), sweep after sweep.
/// **Shapes**: `a` `[n, n]`, of which (a + aᵀ)/2 is taken and which is lost; `values` `[n]`, largest first; `vectors` `[n, n]`, v_i in row i.
/// **Cost**: some 6 to 10 sweeps of 6·n³ flops. **Accuracy**: |λ̂_i − λ_i| ≤ c·n·ε·‖A‖, vectors orthonormal to the same; of positive definite matrices
/// small eigenvalues keep relative accuracy if scaling makes A well-conditioned (Demmel and Veselić 1992). Vectors of eigenvalues that are close
/// to each other are accurate as a space. **Errors**: a buffer of another length, a number that is not finite.
///
/// ```
/// use kpflow_core::dense::symmetric_eigen;
/// let (mut values, mut vectors) = ([0.0; 2], [0.0; 4]);
/// symmetric_eigen(2, &mut [2.0, 1.0, 1.0, 2.0], &mut values, &mut vectors)?;
/// assert!((values[0] - 3.0).abs() < 1e-15 && (values[1] - 1.0).abs() < 1e-15);
/// assert!((vectors[0] - vectors[1]).abs() < 1e-15);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub fn symmetric_eigen(n: usize, a: &mut [f64], values: &mut [f64], vectors: &mut [f64]) -> Result<(), Error> {
    length(area(n, n)?, vectors.len())?;
    vectors.fill(0.0);
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    diagonal(n, a, values, vectors)?;
    sort(values, vectors, n);
    Ok(())
}

/// Computes all eigenvalues of a symmetric matrix, and no eigenvectors: half the memory and two thirds of the flops.
///
/// **Shapes**, **cost**, **accuracy**, **errors**: as [`symmetric_eigen`].
pub fn symmetric_eigenvalues(n: usize, a: &mut [f64], values: &mut [f64]) -> Result<(), Error> {
    diagonal(n, a, values, &mut [])?;
    sort(values, &mut [], 0);
    Ok(())
}

/// Writes the eigenvalues as they come, and rotates the rows of `vectors` if there are any.
fn diagonal(n: usize, a: &mut [f64], values: &mut [f64], vectors: &mut [f64]) -> Result<(), Error> {
    length(area(n, n)?, a.len())?;
    length(n, values.len())?;
    finite(a)?;
    let scale = normalise(a);
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * a[i * n + j] + 0.5 * a[j * n + i];
            (a[i * n + j], a[j * n + i]) = (mean, mean);
        }
    }
    diagonalise(n, a, vectors)?;
    values.iter_mut().enumerate().for_each(|(i, x)| *x = scale * a[i * n + i]);
    Ok(())
}

fn diagonalise(n: usize, a: &mut [f64], vectors: &mut [f64]) -> Result<(), Error> {
    let floor = f64::EPSILON * f64::EPSILON * largest(a);
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (pp, qq, pq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
                let small = f64::EPSILON * libm::sqrt(libm::fabs(pp)) * libm::sqrt(libm::fabs(qq));
                if libm::fabs(pq) <= libm::fmax(small, floor) {
                    continue;
                }
                rotated = true;
                let (c, s, t) = rotation(pp, qq, pq);
                let (x, y) = rows_mut(a, n, p, q);
                rotate(x, y, c, s);
                for k in 0..n {
                    a[k * n + p] = a[p * n + k];
                    a[k * n + q] = a[q * n + k];
                }
                (a[p * n + p], a[q * n + q]) = (pp - t * pq, qq + t * pq);
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
                if !vectors.is_empty() {
                    let (x, y) = rows_mut(vectors, n, p, q);
                    rotate(x, y, c, s);
                }
            }
        }
        if !rotated {
            return Ok(());
        }
    }
    Err(Error::NotConverged { sweeps: SWEEPS })
}
