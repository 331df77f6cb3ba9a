//! Singular values by one-sided Jacobi rotations: the numerical rank and the operator norm in one.

use super::{area, dot, finite, normalise, rotate, rotation, rows_mut, sort, SWEEPS};
use crate::error::{length, Error};

/// Computes all singular values of a matrix by making its rows orthogonal.
///
/// Hestenes' method (1958): pairs of rows are changed until all are orthogonal; their norms are the singular values. The rows left are σ_i v_iᵀ.
/// Give the side with fewer rows (the matrix or its transpose): there are as many values as rows, zeros if there are more rows than columns.
/// **Shapes**: `a` `[rows, cols]`, replaced; `values` `[rows]`, largest first. **Cost**: some 5 to 10 sweeps of 5·rows²·cols flops.
/// **Accuracy**: |σ̂_i − σ_i| ≤ c·rows·ε·σ_1, so a rank is seen down to ε, where eigenvalues of a Gram matrix see √ε; if the rows differ only in
/// scale from well-conditioned ones, even small values keep relative accuracy, down to 1e-150·σ_1. **Errors**: a buffer of another length, a number that
/// is not finite.
///
/// ```
/// use kpflow_core::dense::{rank, singular_values};
/// let mut values = [0.0; 2];
/// singular_values(2, 3, &mut [3.0, 0.0, 4.0, 6.0, 0.0, 8.0], &mut values)?; // two rows, one direction
/// assert!((values[0] - 125f64.sqrt()).abs() < 1e-14);
/// assert_eq!(rank(&values, 1e-14), 1);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub fn singular_values(rows: usize, cols: usize, a: &mut [f64], values: &mut [f64]) -> Result<(), Error> {
    length(area(rows, cols)?, a.len())?;
    length(rows, values.len())?;
    finite(a)?;
    let scale = normalise(a);
    orthogonalise(rows, cols, a)?;
    // Rows were swapped as they went, but the last sweep's rounding may have left neighbours out of order.
    for (i, value) in values.iter_mut().enumerate() {
        let row = &a[i * cols..][..cols];
        *value = libm::sqrt(dot(row, row)) * scale;
    }
    a.iter_mut().for_each(|x| *x *= scale);
    sort(values, a, cols);
    Ok(())
}

fn orthogonalise(rows: usize, cols: usize, a: &mut [f64]) -> Result<(), Error> {
    let tolerance = f64::EPSILON * libm::sqrt(cols as f64);
    for _ in 0..SWEEPS {
        let mut changed = false;
        for p in 0..rows {
            for q in p + 1..rows {
                let (x, y) = rows_mut(a, cols, p, q);
                let (mut xx, mut yy, xy) = (dot(x, x), dot(y, y), dot(x, y));
                // The longer row first: de Rijk's order, by which zero rows gather at the end. After an exchange some pairs of this sweep
                // have not met, so another must follow.
                if yy > xx {
                    x.swap_with_slice(y);
                    (xx, yy) = (yy, xx);
                    changed = true;
                }
                // A row of rounding errors shrinks by ε a sweep; before its square leaves the range of doubles it counts as zero.
                if libm::fabs(xy) <= tolerance * libm::sqrt(xx) * libm::sqrt(yy) || yy < 1e-300 {
                    continue;
                }
                changed = true;
                let (c, s, _) = rotation(xx, yy, xy);
                rotate(x, y, c, s);
            }
        }
        if !changed {
            return Ok(());
        }
    }
    Err(Error::NotConverged { sweeps: SWEEPS })
}

/// Counts the singular values (or eigenvalues) beyond `tolerance` times the largest in absolute value: the numerical rank.
pub fn rank(values: &[f64], tolerance: f64) -> usize {
    let limit = tolerance * super::largest(values);
    values.iter().filter(|x| libm::fabs(**x) > limit).count()
}
