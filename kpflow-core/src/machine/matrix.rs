//! Views of matrices in memory, row after row, and the product of two that is to be computed.

use crate::Error;

/// A matrix to read: row major with a leading dimension, or the transpose of one. It lies within its data.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) ld: usize,
    transposed: bool,
}

/// A row-major matrix to write, with a leading dimension. It lies within its data.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) ld: usize,
}

/// Fails unless a matrix lies within `len` numbers. One row needs no leading dimension.
#[inline]
fn check(len: usize, rows: usize, cols: usize, ld: usize) -> Result<(), Error> {
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    if cols > ld && rows > 1 {
        return Err(Error::Length { expected: cols, found: ld });
    }
    let end = (rows - 1).saturating_mul(ld).saturating_add(cols);
    if end > len {
        return Err(Error::Length { expected: end, found: len });
    }
    Ok(())
}

/// What an error of a view that this crate made itself ends with: a mistake in here, whatever the caller gave.
#[cold]
pub(super) fn mistaken(e: Error) -> ! {
    panic!("a mistake in kpflow-core: {e}")
}

impl<'a, T> MatRef<'a, T> {
    /// Views `data` as a rows × cols matrix whose rows begin `ld` apart.
    ///
    /// **Errors**: if the matrix does not lie within `data`.
    pub fn new(data: &'a [T], rows: usize, cols: usize, ld: usize) -> Result<Self, Error> {
        check(data.len(), rows, cols, ld)?;
        Ok(Self { data, rows, cols, ld, transposed: false })
    }

    /// The same for sizes that are known to fit.
    #[inline]
    pub(crate) fn of(data: &'a [T], rows: usize, cols: usize, ld: usize) -> Self {
        Self::new(data, rows, cols, ld).unwrap_or_else(|e| mistaken(e))
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// The numbers, from the first stored row's first.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Rows of the matrix as it enters a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix as it enters a product.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance in memory between stored rows.
    pub fn ld(&self) -> usize {
        self.ld
    }

    /// Whether what is stored is the transpose (cols × rows).
    pub fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Distances in memory between rows and between columns.
    pub fn strides(&self) -> (usize, usize) {
        if self.transposed {
            (1, self.ld)
        } else {
            (self.ld, 1)
        }
    }
}

impl<'a, T> MatMut<'a, T> {
    /// Views `data` as a rows × cols matrix whose rows begin `ld` apart.
    ///
    /// **Errors**: if the matrix does not lie within `data`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, ld: usize) -> Result<Self, Error> {
        check(data.len(), rows, cols, ld)?;
        Ok(Self { data, rows, cols, ld })
    }

    /// The same for sizes that are known to fit.
    #[inline]
    pub(crate) fn of(data: &'a mut [T], rows: usize, cols: usize, ld: usize) -> Self {
        Self::new(data, rows, cols, ld).unwrap_or_else(|e| mistaken(e))
    }

    /// The numbers, from the first row's first.
    pub fn data(&mut self) -> &mut [T] {
        self.data
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance in memory between rows.
    pub fn ld(&self) -> usize {
        self.ld
    }
}

/// A matrix product that is to be computed: A is rows × inner, B inner × cols and C rows × cols.
#[derive(Debug)]
pub struct Gemm<'a, T> {
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    c: MatMut<'a, T>,
}

impl<'a, T> Gemm<'a, T> {
    /// Puts the three matrices together.
    ///
    /// **Errors**: unless their shapes agree.
    #[inline]
    pub fn new(a: MatRef<'a, T>, b: MatRef<'a, T>, c: MatMut<'a, T>) -> Result<Self, Error> {
        let expect = |expected, found| if expected == found { Ok(()) } else { Err(Error::Matrix { expected, found }) };
        expect((a.cols, c.cols), (b.rows, b.cols))?;
        expect((a.rows, b.cols), (c.rows, c.cols))?;
        Ok(Self { a, b, c })
    }

    /// The same for shapes that are known to agree.
    #[inline]
    pub(crate) fn of(a: MatRef<'a, T>, b: MatRef<'a, T>, c: MatMut<'a, T>) -> Self {
        Self::new(a, b, c).unwrap_or_else(|e| mistaken(e))
    }

    /// A, B and C.
    #[inline]
    pub fn into_parts(self) -> (MatRef<'a, T>, MatRef<'a, T>, MatMut<'a, T>) {
        (self.a, self.b, self.c)
    }
}
