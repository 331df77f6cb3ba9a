//! A factor of a Kronecker product, or a term of a Kronecker sum.

use crate::dense::{self, LogDeterminant};
use crate::error::{enough, length};
use crate::machine::MatRef;
use crate::{Error, Scalar};

/// A dense matrix or an identity, times a number.
///
/// An identity costs nothing: neither memory nor a product. A dense factor may be a transpose ([`MatRef::t`]).
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a, T> {
    matrix: Option<MatRef<'a, T>>,
    rows: usize,
    cols: usize,
    scale: f64,
}

impl<'a, T: Scalar> From<MatRef<'a, T>> for Factor<'a, T> {
    fn from(matrix: MatRef<'a, T>) -> Self {
        Self { rows: matrix.rows(), cols: matrix.cols(), matrix: Some(matrix), scale: 1.0 }
    }
}

impl<T> Factor<'_, T> {
    /// Whether it is an identity, or a multiple of one.
    pub(super) fn is_identity(&self) -> bool {
        self.matrix.is_none()
    }
}

impl<'a, T: Scalar> Factor<'a, T> {
    /// The number 1: what an array of factors is filled with.
    pub const ONE: Self = Self { matrix: None, rows: 1, cols: 1, scale: 1.0 };

    /// Makes the dense factor whose rows × cols numbers are `data`, row-major.
    ///
    /// **Errors**: [`Error::Length`] if there are more or fewer.
    pub fn dense(data: &'a [T], rows: usize, cols: usize) -> Result<Self, Error> {
        length(dense::area(rows, cols)?, data.len())?;
        Ok(Self::from(MatRef::new(data, rows, cols, cols)?))
    }

    /// The identity of a size.
    pub const fn identity(size: usize) -> Self {
        Self { matrix: None, rows: size, cols: size, scale: 1.0 }
    }

    /// The same factor times a number.
    pub fn scaled(self, scale: f64) -> Self {
        Self { scale: self.scale * scale, ..self }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, matrix: self.matrix.map(MatRef::t), ..self }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The dense matrix, without the number that it is multiplied by; `None` for an identity.
    pub fn matrix(&self) -> Option<MatRef<'a, T>> {
        self.matrix
    }

    /// The number that the matrix is multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The number at (row, column); 0 beyond the matrix.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        if row >= self.rows || column >= self.cols {
            return 0.0;
        }
        let value = match &self.matrix {
            Some(m) => m.data[row * m.strides().0 + column * m.strides().1].f64(),
            None => f64::from(u8::from(row == column)),
        };
        self.scale * value
    }

    /// n, of a square factor.
    pub(super) fn size(&self) -> Result<usize, Error> {
        if self.rows == self.cols {
            Ok(self.rows)
        } else {
            Err(Error::Matrix { expected: (self.rows, self.rows), found: (self.rows, self.cols) })
        }
    }

    /// The rank is at most this.
    pub(super) fn rank_bound(&self) -> usize {
        if self.scale == 0.0 {
            0
        } else {
            self.rows.min(self.cols)
        }
    }

    /// Numbers of the dense matrix; 0 for an identity.
    pub(super) fn dense_len(&self) -> usize {
        if self.matrix.is_some() {
            self.rows * self.cols
        } else {
            0
        }
    }

    pub(super) fn trace(&self) -> Result<f64, Error> {
        let n = self.size()?;
        Ok(match self.matrix {
            Some(_) => (0..n).map(|i| self.at(i, i)).sum(),
            None => self.scale * n as f64,
        })
    }

    /// ‖A‖_F².
    pub(super) fn square(&self) -> f64 {
        match self.matrix {
            Some(_) => self.entries().map(|x| x * x).sum(),
            None => self.scale * self.scale * self.rows as f64,
        }
    }

    /// 1ᵀ A 1.
    pub(super) fn sum(&self) -> f64 {
        match self.matrix {
            Some(_) => self.entries().sum(),
            None => self.scale * self.rows as f64,
        }
    }

    fn entries(&self) -> impl Iterator<Item = f64> + '_ {
        let rows = if self.cols == 0 { 0 } else { self.rows };
        (0..rows).flat_map(move |i| (0..self.cols).map(move |j| self.at(i, j)))
    }

    /// Writes the matrix, row-major, in doubles.
    pub(super) fn write(&self, out: &mut [f64]) {
        out.iter_mut().zip(self.entries()).for_each(|(o, x)| *o = x);
    }

    /// The largest deviation from symmetry that rounding in T explains.
    pub(super) fn require_symmetric(&self) -> Result<usize, Error> {
        let n = self.size()?;
        if self.matrix.is_none() {
            return Ok(n);
        }
        let limit = relative::<T>(n, n) * self.entries().fold(0.0, |m, x| libm::fmax(m, libm::fabs(x)));
        for row in 0..n {
            for column in 0..row {
                // Not "greater than": what is not a number is not symmetric either.
                let fits = libm::fabs(self.at(row, column) - self.at(column, row)) <= limit;
                if !fits {
                    return Err(Error::NotSymmetric { row, column });
                }
            }
        }
        Ok(n)
    }

    /// Numbers of scratch that [`singular_values`](Self::singular_values) needs.
    pub(super) fn singular_len(&self) -> usize {
        self.dense_len() + if self.matrix.is_some() { self.rows.min(self.cols) } else { 0 }
    }

    /// ‖A‖ and the rank with `tolerance`, relative to ‖A‖.
    pub(super) fn norm_and_rank(&self, tolerance: f64, scratch: &mut [f64]) -> Result<(f64, usize), Error> {
        if self.matrix.is_none() {
            let rank = if self.scale == 0.0 { 0 } else { self.rows };
            return Ok((if self.rows == 0 { 0.0 } else { libm::fabs(self.scale) }, rank));
        }
        enough(self.singular_len(), scratch.len())?;
        let short = if self.rows <= self.cols { *self } else { self.t() };
        let (values, rest) = scratch.split_at_mut(short.rows);
        let a = &mut rest[..self.dense_len()];
        short.write(a);
        dense::singular_values(short.rows, short.cols, a, values)?;
        Ok((values.first().copied().unwrap_or(0.0), dense::rank(values, tolerance)))
    }

    /// The determinant; scratch: n² numbers of a dense factor.
    pub(super) fn determinant(&self, scratch: &mut [f64]) -> Result<LogDeterminant, Error> {
        let n = self.size()?;
        if self.matrix.is_none() {
            return Ok(LogDeterminant::ONE.times(self.scale).power(n));
        }
        enough(n * n, scratch.len())?;
        self.write(&mut scratch[..n * n]);
        dense::log_determinant(n, &mut scratch[..n * n])
    }
}

/// What is lost to rounding in numbers of type T: max(rows, cols)·ε.
pub(super) fn relative<T: Scalar>(rows: usize, cols: usize) -> f64 {
    rows.max(cols) as f64 * T::epsilon().f64()
}
