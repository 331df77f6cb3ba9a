//! Eigenpairs of Kronecker products and sums from those of their factors, and functions of them.

use super::factors::Factors;
use super::{Factor, Kronecker};
use crate::dense::{symmetric_eigen, LogDeterminant};
use crate::error::{enough, length};
use crate::machine::Kernel;
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// How eigenvalues of the factors make one of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// λ μ: a Kronecker product's.
    Product,
    /// λ + μ: a Kronecker sum's.
    Sum,
}

/// Lengths of the buffers of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpectrumLen {
    /// The factors' eigenvectors: Σ n_k² of the dense ones.
    pub vectors: usize,
    /// The factors' eigenvalues: Σ n_k.
    pub values: usize,
    /// Scratch: 2·n_k² of the largest dense factor.
    pub scratch: usize,
}

/// An eigenvalue, and its place among all n of the whole: the flat index of the factors' own places.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Eigenpair {
    /// The eigenvalue.
    pub value: f64,
    /// Which it is, for [`Spectrum::vector`].
    pub index: usize,
}

/// The eigendecomposition `Q Λ Qᵀ` of a Kronecker product or sum of symmetric matrices, held as those of the factors.
///
/// `Q = Q_1 ⊗ Q_2 ⊗ …` is a Kronecker product itself; Λ holds the products, or the sums, of the factors' eigenvalues. Made by
/// [`Kronecker::spectrum`] and [`KroneckerSum::spectrum`](super::KroneckerSum::spectrum).
#[derive(Clone, Copy, Debug)]
pub struct Spectrum<'a, T, K> {
    vectors: Kronecker<'a, T, K>,
    values: &'a [f64],
    rule: Rule,
}

pub(super) fn len<T: Scalar>(factors: &Factors<'_, T>) -> SpectrumLen {
    let dense = || factors.iter().map(|f| f.dense_len());
    SpectrumLen {
        vectors: dense().sum(),
        values: factors.iter().map(|f| f.rows()).sum(),
        scratch: dense().max().unwrap_or(0).saturating_mul(2),
    }
}

pub(super) fn compute<'f, 'm: 'f, 'a: 'f, T: Scalar, K: Kernel<T>>(
    from: &Factors<'a, T>,
    kernel: &'a K,
    rule: Rule,
    factors: &'f mut [Factor<'m, T>],
    vectors: &'m mut [T],
    values: &'m mut [f64],
    scratch: &mut [f64],
) -> Result<Spectrum<'f, T, K>, Error> {
    from.iter().try_for_each(|f| f.require_symmetric().map(|_| ()))?;
    let len = len(from);
    length(from.len(), factors.len())?;
    length(len.vectors, vectors.len())?;
    length(len.values, values.len())?;
    enough(len.scratch, scratch.len())?;
    let (mut left, mut at) = (vectors, 0);
    for (to, f) in factors.iter_mut().zip(from.iter()) {
        let n = f.rows();
        let own = &mut values[at..at + n];
        at += n;
        let (a, rest) = scratch.split_at_mut(f.dense_len());
        let (v, others) = left.split_at_mut(f.dense_len());
        left = others;
        *to = if f.matrix().is_some() {
            f.write(a);
            let found = &mut rest[..n * n];
            symmetric_eigen(n, a, own, found)?;
            v.iter_mut().zip(found).for_each(|(v, x)| *v = T::of(*x));
            // The eigenvectors are rows: Q_k is the transpose.
            Factor::dense(v, n, n)?.t()
        } else {
            own.fill(f.scale());
            Factor::identity(n)
        };
    }
    Ok(Spectrum { vectors: Kronecker { factors: from.with(factors)?, kernel }, values, rule })
}

impl<'a, T: Scalar, K: Kernel<T>> Spectrum<'a, T, K> {
    /// Q, orthogonal, an eigenvector a column.
    pub fn vectors(&self) -> &Kronecker<'a, T, K> {
        &self.vectors
    }

    /// n, how many eigenpairs there are.
    pub fn count(&self) -> usize {
        self.vectors.domain().len()
    }

    fn combine(&self, x: f64, y: f64) -> f64 {
        match self.rule {
            Rule::Product => x * y,
            Rule::Sum => x + y,
        }
    }

    fn neutral(&self) -> f64 {
        match self.rule {
            Rule::Product => 1.0,
            Rule::Sum => 0.0,
        }
    }

    /// The eigenvalues of every factor.
    fn parts(&self) -> impl Iterator<Item = &'a [f64]> + '_ {
        let mut left = self.values;
        self.vectors.factors.iter().map(move |f| {
            let (own, rest) = left.split_at(f.rows());
            left = rest;
            own
        })
    }

    /// The eigenvalue at a place; `None` beyond n.
    pub fn value(&self, index: usize) -> Option<f64> {
        let mut above = self.count();
        if index >= above {
            return None;
        }
        Some(self.parts().fold(self.neutral(), |value, own| {
            above /= own.len();
            self.combine(value, own[index / above % own.len()])
        }))
    }

    /// Writes the eigenvector at a place: the Kronecker product of the factors'.
    ///
    /// **Shapes**: `out` `[n]`, a flattened state. **Cost**: n products a factor. **Errors**: [`Error::Length`]; [`Error::Range`] if there is no such place.
    pub fn vector(&self, index: usize, out: &mut [T]) -> Result<(), Error> {
        length(self.count(), out.len())?;
        if index >= self.count() {
            return Err(Error::Range { limit: self.count(), found: index });
        }
        out.iter_mut().enumerate().for_each(|(i, x)| *x = T::of(self.vectors.at(i, index)));
        Ok(())
    }

    /// Finds the largest eigenvalues of the whole, largest first, as many as `pairs` holds or as there are; returns how many.
    ///
    /// Factor after factor, only the k largest and k smallest of the products so far can be part of the k largest (the smallest because two
    /// negative numbers multiply). **Shapes**: k `pairs`, 4·k `scratch`. **Cost**: up to 2·k·n_k comparisons and insertions a factor; nothing of size n.
    /// **Determinism**: of equal ones the first in place comes first. **Errors**: [`Error::Length`].
    pub fn largest(&self, pairs: &mut [Eigenpair], scratch: &mut [Eigenpair]) -> Result<usize, Error> {
        let k = pairs.len();
        enough(k.saturating_mul(4), scratch.len())?;
        if k == 0 || self.count() == 0 {
            return Ok(0);
        }
        let (old, new) = scratch.split_at_mut(2 * k);
        let ((mut high, mut low), (mut next_high, mut next_low)) = (old.split_at_mut(k), new.split_at_mut(k));
        (high[0], low[0]) =
            (Eigenpair { value: self.neutral(), index: 0 }, Eigenpair { value: self.neutral(), index: 0 });
        let mut found = 1;
        for own in self.parts() {
            let (mut highs, mut lows) = (0, 0);
            for (i, x) in own.iter().enumerate() {
                let flips = self.rule == Rule::Product && *x < 0.0;
                let (up, down) = if flips { (&*low, &*high) } else { (&*high, &*low) };
                let next = |from: &Eigenpair| Eigenpair {
                    value: self.combine(from.value, *x),
                    index: from.index * own.len() + i,
                };
                up[..found].iter().for_each(|p| insert(next_high, &mut highs, next(p), |a, b| a > b));
                down[..found].iter().for_each(|p| insert(next_low, &mut lows, next(p), |a, b| a < b));
            }
            (high, low, next_high, next_low) = (next_high, next_low, high, low);
            found = highs;
        }
        pairs[..found].copy_from_slice(&high[..found]);
        Ok(found)
    }

    /// All eigenvalues, in the order of their places. **Cost**: n, never stored.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count()).filter_map(|i| self.value(i))
    }

    /// The operator norm, the largest |λ|, from the factors' extremes alone.
    pub fn operator_norm(&self) -> f64 {
        let start = (self.neutral(), self.neutral());
        let (high, low) = self.parts().fold(start, |(high, low), own| {
            let (first, last) = (own.first().copied().unwrap_or(0.0), own.last().copied().unwrap_or(0.0));
            let ends = [(high, first), (high, last), (low, first), (low, last)].map(|(x, y)| self.combine(x, y));
            (ends.into_iter().fold(f64::NEG_INFINITY, libm::fmax), ends.into_iter().fold(f64::INFINITY, libm::fmin))
        });
        if self.count() == 0 {
            0.0
        } else {
            libm::fmax(libm::fabs(high), libm::fabs(low))
        }
    }

    /// The rank: how many |λ| are beyond `tolerance`·‖·‖. **Cost**: n.
    pub fn rank(&self, tolerance: f64) -> usize {
        let limit = tolerance * self.operator_norm();
        self.values().filter(|x| libm::fabs(*x) > limit).count()
    }

    /// The determinant, Π λ. **Cost**: n.
    pub fn determinant(&self) -> LogDeterminant {
        self.values().fold(LogDeterminant::ONE, LogDeterminant::times)
    }

    /// The operator `f(A) = Q f(Λ) Qᵀ`: with f(λ) = 1/λ the inverse (of a Kronecker sum: the solution of a Sylvester equation), with √λ the square root, with
    /// e^λ the exponential.
    ///
    /// ```
    /// use kpflow_core::{kronecker::{Factor, KroneckerSum}, machine::Portable, BlockMut, BlockRef, LinearOperator};
    /// let terms = [Factor::dense(&[2.0, 1.0, 1.0, 2.0], 2, 2)?, Factor::identity(2)];
    /// let sum = KroneckerSum::new(&terms, &Portable)?;
    /// let (mut vectors, mut values, mut scratch, mut memory) = ([0.0; 4], [0.0; 4], [0.0; 8], [Factor::ONE; 2]);
    /// let inverse = sum.spectrum(&mut memory, &mut vectors, &mut values, &mut scratch)?.map(|x| 1.0 / x);
    /// let (b, mut x, mut room) = ([4.0, 0.0, 4.0, 0.0], [0.0f64; 4], vec![0.0; inverse.scratch_len(1)]);
    /// inverse.apply(BlockRef::new(sum.domain(), 1, &b)?, BlockMut::new(sum.domain(), 1, &mut x)?, &mut room)?;
    /// assert!(x.iter().zip([1.0, 0.0, 1.0, 0.0]).all(|(x, y)| (x - y).abs() < 1e-15)); // (3 + 1) x = b
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
    pub fn map<F: Fn(f64) -> f64>(self, f: F) -> SpectralMap<'a, T, K, F> {
        SpectralMap { spectrum: self, f }
    }
}

/// Puts a pair in its place among the best so far, if it is one of them.
fn insert(best: &mut [Eigenpair], count: &mut usize, pair: Eigenpair, before: impl Fn(f64, f64) -> bool) {
    let ahead = |x: &Eigenpair| before(pair.value, x.value) || (!before(x.value, pair.value) && pair.index < x.index);
    let mut at = *count;
    while at > 0 && ahead(&best[at - 1]) {
        at -= 1;
    }
    if at < best.len() {
        *count = (*count + 1).min(best.len());
        best[at..*count].rotate_right(1);
        best[at] = pair;
    }
}

/// A function of a Kronecker product or sum, `Q f(Λ) Qᵀ`: symmetric. **Cost**: two products with Q; scratch: a block more than Q's.
#[derive(Clone, Copy, Debug)]
pub struct SpectralMap<'a, T, K, F> {
    spectrum: Spectrum<'a, T, K>,
    f: F,
}

impl<T: Scalar, K: Kernel<T>, F: Fn(f64) -> f64> LinearOperator<T> for SpectralMap<'_, T, K, F> {
    fn domain(&self) -> Shape {
        self.spectrum.vectors.domain()
    }
    fn codomain(&self) -> Shape {
        self.domain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let between = vectors.saturating_mul(self.domain().len());
        between.saturating_add(self.spectrum.vectors.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (m, shape) = (x.vectors(), self.domain());
        check(shape, shape, self.scratch_len(m), &x, &y, scratch)?;
        let (between, scratch) = scratch.split_at_mut(m * shape.len());
        self.spectrum.vectors.apply_adjoint(x, BlockMut::of(shape, m, between), scratch)?;
        let n = shape.per_trajectory();
        for (i, parts) in between.chunks_exact_mut(n.max(1)).enumerate() {
            for (r, z) in parts.iter_mut().enumerate() {
                let value = self.spectrum.value(i / m * n + r).unwrap_or(0.0);
                *z *= T::of((self.f)(value));
            }
        }
        self.spectrum.vectors.apply(BlockRef::of(shape, m, between), y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
    /// Looks at f of every eigenvalue.
    fn properties(&self) -> Properties {
        let values = || self.spectrum.values().map(&self.f);
        Properties {
            symmetric: true,
            positive_semidefinite: values().all(|x| x >= 0.0),
            block_diagonal: self.spectrum.vectors.properties().block_diagonal,
            rank_bound: values().filter(|x| *x != 0.0).count(),
        }
    }
}

impl<T, K, F> core::fmt::Display for SpectralMap<'_, T, K, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("f(A)")
    }
}
