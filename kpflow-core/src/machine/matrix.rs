//! Views of matrices in memory, row after row.

/// A matrix to read: row major with a leading dimension, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    /// The numbers, from the first row's first.
    pub data: &'a [T],
    /// Rows of the matrix as it enters the product.
    pub rows: usize,
    /// Columns of the matrix as it enters the product.
    pub cols: usize,
    /// Distance in memory between stored rows.
    pub ld: usize,
    /// Whether what is stored is the transpose (cols × rows).
    pub transposed: bool,
}

/// A row-major matrix to write, with a leading dimension.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    /// The numbers, from the first row's first.
    pub data: &'a mut [T],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Distance in memory between rows.
    pub ld: usize,
}

fn check(len: usize, rows: usize, cols: usize, ld: usize) {
    assert!(cols <= ld || rows <= 1, "a matrix's leading dimension must be at least its columns");
    if rows > 0 && cols > 0 {
        assert!((rows - 1) * ld + cols <= len, "a matrix must lie within its data");
    }
}

impl<'a, T> MatRef<'a, T> {
    /// Views `data` as a rows × cols matrix whose rows begin `ld` apart.
    ///
    /// # Panics
    /// If the matrix does not lie within `data`.
    pub fn new(data: &'a [T], rows: usize, cols: usize, ld: usize) -> Self {
        check(data.len(), rows, cols, ld);
        Self { data, rows, cols, ld, transposed: false }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
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
    /// # Panics
    /// If the matrix does not lie within `data`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, ld: usize) -> Self {
        check(data.len(), rows, cols, ld);
        Self { data, rows, cols, ld }
    }
}
