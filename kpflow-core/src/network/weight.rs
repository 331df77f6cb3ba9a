//! Weights with the names of their tensors.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, Range};

/// Numbers of one's own, or some that lie in memory that others read too.
#[derive(Clone)]
pub enum Numbers<T> {
    /// One's own.
    Own(Vec<T>),
    /// A range of others'.
    Shared(Arc<dyn AsRef<[T]> + Send + Sync>, Range<usize>),
}

impl<T> Deref for Numbers<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Numbers::Own(numbers) => numbers,
            Numbers::Shared(all, range) => &(**all).as_ref()[range.clone()],
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Numbers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> From<Vec<T>> for Numbers<T> {
    fn from(numbers: Vec<T>) -> Self {
        Numbers::Own(numbers)
    }
}

impl<T: Clone> Numbers<T> {
    /// The numbers, to be changed: those that are shared are copied first.
    pub fn to_mut(&mut self) -> &mut [T] {
        if let Numbers::Shared(..) = self {
            *self = Numbers::Own(self.to_vec());
        }
        match self {
            Numbers::Own(numbers) => numbers,
            Numbers::Shared(..) => &mut [],
        }
    }
}

/// A weight and the tensors that it came from.
#[derive(Clone, Debug)]
pub struct OwnedWeight<T> {
    /// The matrix's tensor.
    pub name: String,
    /// The bias's tensor.
    pub bias_name: String,
    /// Row-major `[n_out, n_in]`.
    pub matrix: Numbers<T>,
    /// `[n_out]`.
    pub bias: Option<Numbers<T>>,
    /// Rows.
    pub n_out: usize,
    /// Columns.
    pub n_in: usize,
    /// Whether the matrix is part of θ.
    pub train_matrix: bool,
    /// Whether the bias is part of θ.
    pub train_bias: bool,
    /// Trainable numbers that are not held because nothing reads them: rows of an embedding that no token names.
    pub unread: usize,
}

impl<T> OwnedWeight<T> {
    /// A trained weight.
    pub fn new(name: impl Into<String>, matrix: Vec<T>, n_out: usize, n_in: usize) -> Self {
        let (bias_name, bias) = (String::new(), None);
        Self {
            name: name.into(),
            bias_name,
            matrix: matrix.into(),
            bias,
            n_out,
            n_in,
            train_matrix: true,
            train_bias: true,
            unread: 0,
        }
    }
    /// The same with a bias.
    pub fn with_bias(self, name: impl Into<String>, bias: Option<Vec<T>>) -> Self {
        Self { bias_name: name.into(), bias: bias.map(Numbers::from), ..self }
    }
    /// Its arrays.
    pub fn arrays(&self) -> impl Iterator<Item = &Numbers<T>> {
        core::iter::once(&self.matrix).chain(&self.bias)
    }
    /// Its arrays, to be moved elsewhere.
    pub fn arrays_mut(&mut self) -> impl Iterator<Item = &mut Numbers<T>> {
        core::iter::once(&mut self.matrix).chain(&mut self.bias)
    }
    /// The trained numbers, in the order of θ.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut [T]>
    where
        T: Clone,
    {
        let (matrix, bias) = (self.train_matrix, self.train_bias);
        let parts = [Some(&mut self.matrix).filter(|_| matrix), self.bias.as_mut().filter(|_| bias)];
        parts.into_iter().flatten().map(Numbers::to_mut)
    }
    /// How many numbers of θ it has, those that are not held included.
    pub fn parameters(&self) -> usize {
        let matrix = if self.train_matrix { self.matrix.len() + self.unread } else { 0 };
        matrix + self.bias.as_ref().filter(|_| self.train_bias).map_or(0, |b| b.len())
    }
}
