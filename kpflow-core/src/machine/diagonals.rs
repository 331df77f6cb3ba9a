//! Sums of diagonals times rows: all that a unit-wise cluster does to a block of vectors.

use super::matrix::mistaken;
use crate::error::length;
use crate::{Error, Scalar};

/// A diagonal and the rows that it multiplies.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a, T> {
    /// The diagonal.
    pub c: &'a [T],
    /// The rows.
    pub x: &'a [T],
    /// The distance between rows.
    pub stride: usize,
}

impl<T> Term<'_, T> {
    /// Nothing: what an array of terms is filled with.
    pub const EMPTY: Self = Self { c: &[], x: &[], stride: 0 };
}

/// A sum of diagonals times rows that is to be computed: `y[v][j] (+)= Σ_i c_i[j] · x_i[v][j]` for every row v < `rows`.
///
/// Row v of x_i begins at `v · stride`, of y at `v · y_stride`; as many numbers of each are used as every c has.
#[derive(Debug)]
pub struct Diagonals<'a, T> {
    terms: &'a [Term<'a, T>],
    y: &'a mut [T],
    y_stride: usize,
    rows: usize,
    add: bool,
}

impl<'a, T: Scalar> Diagonals<'a, T> {
    /// Puts the terms of a sum together; they are added to `y` or, without `add`, only written.
    ///
    /// **Errors**: if the diagonals are not of one length or some row does not lie within its slice, or rows of `y` overlap.
    pub fn new(
        terms: &'a [Term<'a, T>],
        y: &'a mut [T],
        y_stride: usize,
        rows: usize,
        add: bool,
    ) -> Result<Self, Error> {
        let n = terms.first().map_or(0, |t| t.c.len());
        let lies = |len: usize, stride: usize| {
            let end = rows.saturating_sub(1).saturating_mul(stride).saturating_add(n);
            length(end, if rows == 0 || n == 0 { end } else { end.min(len) })
        };
        for term in terms {
            length(n, term.c.len())?;
            lies(term.x.len(), term.stride)?;
        }
        lies(y.len(), y_stride)?;
        if rows > 1 && y_stride < n {
            return Err(Error::Length { expected: n, found: y_stride });
        }
        Ok(Self::of(terms, y, y_stride, rows, add))
    }

    /// The same for sizes that are known to fit.
    #[inline(always)]
    pub(crate) fn of(terms: &'a [Term<'a, T>], y: &'a mut [T], y_stride: usize, rows: usize, add: bool) -> Self {
        Self { terms, y, y_stride, rows, add }
    }
}

/// Computes the sum: see [`Kernel::combine`](super::Kernel::combine).
///
/// Always inlined, so that a caller can have it compiled for the vector units of its processor.
#[inline(always)]
pub fn combine<T: Scalar>(sum: Diagonals<'_, T>) {
    let Diagonals { terms, y, y_stride, rows, mut add } = sum;
    let n = terms.first().map_or(0, |t| t.c.len());
    if n == 0 {
        return;
    }
    for terms in terms.chunks(5) {
        match *terms {
            [a] => some(&[a], y, y_stride, rows, n, add),
            [a, b] => some(&[a, b], y, y_stride, rows, n, add),
            [a, b, c] => some(&[a, b, c], y, y_stride, rows, n, add),
            [a, b, c, d] => some(&[a, b, c, d], y, y_stride, rows, n, add),
            [a, b, c, d, e] => some(&[a, b, c, d, e], y, y_stride, rows, n, add),
            _ => {}
        }
        add = true;
    }
}

/// Numbers that are worked on at the same time: two vectors of 512 bits of doubles, one of singles.
const WIDTH: usize = 16;

/// What rows end with that nobody has checked.
#[cold]
fn too_short(found: usize) -> ! {
    mistaken(Error::Length { expected: WIDTH, found })
}

/// The same for a number of terms that the compiler knows: each row of y is read and written once, and diagonals stay in registers for all rows.
#[inline(always)]
fn some<T: Scalar, const I: usize>(
    terms: &[Term<'_, T>; I],
    y: &mut [T],
    y_stride: usize,
    rows: usize,
    n: usize,
    add: bool,
) {
    let whole = n - n % WIDTH;
    for j in (0..whole).step_by(WIDTH) {
        let mut c = [[T::zero(); WIDTH]; I];
        for i in 0..I {
            c[i].copy_from_slice(&terms[i].c[j..j + WIDTH]);
        }
        for v in 0..rows {
            let y = &mut y[v * y_stride + j..];
            let found = y.len();
            let Some(y) = y.first_chunk_mut::<WIDTH>() else { too_short(found) };
            let mut sum = if add { *y } else { [T::zero(); WIDTH] };
            for i in 0..I {
                let x = &terms[i].x[v * terms[i].stride + j..];
                let Some(x) = x.first_chunk::<WIDTH>() else { too_short(x.len()) };
                for k in 0..WIDTH {
                    sum[k] += c[i][k] * x[k];
                }
            }
            *y = sum;
        }
    }
    for v in 0..if whole < n { rows } else { 0 } {
        for j in whole..n {
            let y = &mut y[v * y_stride + j];
            let mut sum = if add { *y } else { T::zero() };
            for term in terms {
                sum += term.c[j] * term.x[v * term.stride + j];
            }
            *y = sum;
        }
    }
}
