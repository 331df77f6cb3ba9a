//! Square roots and powers.

use super::{area, symmetric_eigen};
use crate::error::{enough, length, Error};

/// Numbers of scratch that [`square_root`] needs.
pub const fn square_root_scratch_len(n: usize) -> usize {
    n.saturating_mul(n).saturating_add(n)
}

/// Computes the symmetric square root of a symmetric positive semidefinite matrix, `R R = A`, from its eigenpairs.
///
/// **Shapes**: `a` `[n, n]`, replaced by R. **Cost**: that of [`symmetric_eigen`], and 2·n³ flops. **Accuracy**: ‖R R − A‖ ≤ c·n·ε·‖A‖. **Errors**:
/// [`Error::NotSemidefinite`] if an eigenvalue is below −`tolerance`·λ_1 (what is between counts as 0), a buffer too short, a number that is not finite.
pub fn square_root(n: usize, a: &mut [f64], tolerance: f64, scratch: &mut [f64]) -> Result<(), Error> {
    enough(square_root_scratch_len(n), scratch.len())?;
    let (values, rest) = scratch.split_at_mut(n);
    let vectors = &mut rest[..area(n, n)?];
    symmetric_eigen(n, a, values, vectors)?;
    let limit = -tolerance * super::largest(values);
    let negative = values.iter().filter(|x| **x < limit).count();
    if negative > 0 {
        return Err(Error::NotSemidefinite { negative, size: n });
    }
    a.fill(0.0);
    for (value, v) in values.iter().zip(vectors.chunks_exact(n.max(1))) {
        let root = libm::sqrt(libm::fmax(*value, 0.0));
        for (i, row) in a.chunks_exact_mut(n.max(1)).enumerate() {
            row.iter_mut().zip(v).for_each(|(a, x)| *a += root * v[i] * x);
        }
    }
    Ok(())
}

/// Numbers of scratch that [`power`] needs.
pub const fn power_scratch_len(n: usize) -> usize {
    n.saturating_mul(n)
}

/// Computes an integer power of a matrix by repeated squaring; the 0th is the identity.
///
/// **Shapes**: `a` `[n, n]`, which is lost; `out` `[n, n]`. **Cost**: up to 4·n³·log₂(exponent) flops. **Accuracy**: exponent·n·ε·‖A‖^exponent.
/// **Errors**: a buffer of another length.
pub fn power(n: usize, a: &mut [f64], exponent: u32, out: &mut [f64], scratch: &mut [f64]) -> Result<(), Error> {
    let square = area(n, n)?;
    length(square, a.len())?;
    length(square, out.len())?;
    enough(power_scratch_len(n), scratch.len())?;
    let product = &mut scratch[..square];
    out.fill(0.0);
    (0..n).for_each(|i| out[i * n + i] = 1.0);
    let mut left = exponent;
    while left > 0 {
        if left & 1 == 1 {
            multiply(n, out, a, product);
            out.copy_from_slice(product);
        }
        left >>= 1;
        if left > 0 {
            multiply(n, a, a, product);
            a.copy_from_slice(product);
        }
    }
    Ok(())
}

fn multiply(n: usize, a: &[f64], b: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (row, out) in a.chunks_exact(n.max(1)).zip(out.chunks_exact_mut(n.max(1))) {
        for (x, b) in row.iter().zip(b.chunks_exact(n.max(1))) {
            out.iter_mut().zip(b).for_each(|(o, b)| *o += x * b);
        }
    }
}
