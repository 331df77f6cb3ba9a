//! Factors on the axes of a state tensor: which factor acts where, and products with one of them.

use super::Factor;
use crate::dense::area;
use crate::error::length;
use crate::machine::{Gemm, Kernel, MatMut, MatRef};
use crate::{Error, Scalar, Shape};

/// A list of factors, the first `groups[0]` of which act on the trajectories, the next `groups[1]` on the steps, the others on the units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<'a, T> {
    list: &'a [Factor<'a, T>],
    groups: [usize; 3],
    transposed: bool,
}

impl<'a, T: Scalar> Factors<'a, T> {
    pub fn new(list: &'a [Factor<'a, T>], groups: [usize; 3]) -> Result<Self, Error> {
        let grouped = groups.iter().try_fold(0usize, |n, g| n.checked_add(*g));
        if grouped != Some(list.len()) {
            let found = grouped.unwrap_or(usize::MAX);
            return Err(Error::Length { expected: list.len(), found });
        }
        // Whatever the order of the products, nothing between is longer than this.
        list.iter().try_fold(1, |n, f| area(n, f.rows().max(f.cols()).max(1)))?;
        Ok(Self { list, groups, transposed: false })
    }

    /// The last factor on the units, the one before on the steps, all others on the trajectories.
    pub fn by_default(list: &'a [Factor<'a, T>]) -> Result<Self, Error> {
        let (units, steps) = (list.len().min(1), usize::from(list.len() > 1));
        Self::new(list, [list.len().saturating_sub(2), steps, units])
    }

    /// Other factors on the same axes.
    pub fn with<'b>(&self, list: &'b [Factor<'b, T>]) -> Result<Factors<'b, T>, Error> {
        Factors::new(list, self.groups)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn groups(&self) -> [usize; 3] {
        self.groups
    }

    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    pub fn get(&self, k: usize) -> Option<Factor<'a, T>> {
        let factor = *self.list.get(k)?;
        Some(if self.transposed { factor.t() } else { factor })
    }

    /// The same, or an error that there is no such factor.
    pub fn require(&self, k: usize) -> Result<Factor<'a, T>, Error> {
        self.get(k).ok_or(Error::Range { limit: self.len(), found: k })
    }

    /// The list with the number `value` in the place of factor k, and `weight` times the others, in `memory`.
    pub fn without<'f>(
        &self,
        k: usize,
        value: f64,
        weight: f64,
        memory: &'f mut [Factor<'a, T>],
    ) -> Result<Factors<'f, T>, Error>
    where
        'a: 'f,
    {
        length(self.len(), memory.len())?;
        for (i, (to, from)) in memory.iter_mut().zip(self.iter()).enumerate() {
            *to = if i == k { Factor::ONE.scaled(value) } else { from.scaled(weight) };
        }
        self.with(memory)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Factor<'a, T>> + ExactSizeIterator + Clone + 'a {
        let transposed = self.transposed;
        self.list.iter().map(move |f| if transposed { f.t() } else { *f })
    }

    fn shape(&self, size: impl Fn(Factor<'a, T>) -> usize) -> Shape {
        let mut factors = self.iter();
        let mut axis = |count: usize| factors.by_ref().take(count).map(&size).product();
        Shape::new(axis(self.groups[0]), axis(self.groups[1]), axis(self.groups[2]))
    }

    pub fn domain(&self) -> Shape {
        self.shape(|f| f.cols())
    }

    pub fn codomain(&self) -> Shape {
        self.shape(|f| f.rows())
    }

    /// The numbers before and after factor `k`'s axis in a block of `m` vectors, where the other axes have the sizes that `size` tells.
    pub fn around(&self, k: usize, m: usize, size: impl Fn(usize, Factor<'a, T>) -> usize) -> (usize, usize) {
        let (mut left, mut right) = (1, 1);
        for (i, f) in self.iter().enumerate() {
            match i {
                _ if i < k => left *= size(i, f),
                _ if i > k => right *= size(i, f),
                _ => {}
            }
        }
        // A block lies as [trajectory][vector][step][unit]: the vectors are one more axis after the trajectories.
        if k < self.groups[0] {
            (left, right * m)
        } else {
            (left * m, right)
        }
    }

    /// What is done after the factors up to (`key`, `k`) in the order of [`next`](Self::next).
    pub fn size_after(&self, after: Option<(f64, usize)>) -> impl Fn(usize, Factor<'a, T>) -> usize {
        move |i, f| match after {
            Some(after) if f.matrix().is_some() && !later((key(&f), i), after) => f.rows(),
            _ => f.cols(),
        }
    }

    /// The dense factor that is multiplied after `after`, so that all products together are cheapest.
    ///
    /// Factor k multiplies the size of what is carried by rows/cols and costs that size times its rows; exchanging neighbours shows that
    /// the cost is least in the order of 1/cols − 1/rows: what makes vectors shorter comes first.
    pub fn next(&self, after: Option<(f64, usize)>) -> Option<(f64, usize)> {
        let dense = self.iter().enumerate().filter(|(_, f)| f.matrix().is_some()).map(|(i, f)| (key(&f), i));
        let left = dense.filter(|x| after.is_none_or(|after| later(*x, after)));
        left.reduce(|best, x| if later(best, x) { x } else { best })
    }

    /// The factors' numbers together.
    pub fn scale(&self) -> f64 {
        self.iter().map(|f| f.scale()).product()
    }
}

fn key<T: Scalar>(f: &Factor<'_, T>) -> f64 {
    1.0 / f.cols() as f64 - 1.0 / f.rows() as f64
}

fn later(x: (f64, usize), y: (f64, usize)) -> bool {
    x.0 > y.0 || (x.0 == y.0 && x.1 > y.1)
}

/// Computes `Y ← α (I ⊗ A ⊗ I) X + β Y` for X `[left, A.cols, right]`: one product if A acts on the first or the last axis, else `left`.
pub(super) fn multiply<T: Scalar, K: Kernel<T>>(
    kernel: &K,
    alpha: T,
    a: MatRef<'_, T>,
    (left, right): (usize, usize),
    x: &[T],
    beta: T,
    y: &mut [T],
) {
    if x.is_empty() || y.is_empty() {
        return;
    }
    if right == 1 {
        let (x, y) = (MatRef::of(x, left, a.cols, a.cols), MatMut::of(y, left, a.rows, a.rows));
        kernel.gemm(alpha, Gemm::of(x, a.t(), y), beta);
        return;
    }
    for (x, y) in x.chunks_exact(a.cols * right).zip(y.chunks_exact_mut(a.rows * right)) {
        let (x, y) = (MatRef::of(x, a.cols, right, right), MatMut::of(y, a.rows, right, right));
        kernel.gemm(alpha, Gemm::of(a, x, y), beta);
    }
}
