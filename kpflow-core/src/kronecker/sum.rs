//! The Kronecker sum as an operator, and what is known of it from its terms.

use super::factors::{multiply, Factors};
use super::{spectrum, Factor, Rule, Spectrum};
use crate::machine::Kernel;
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The Kronecker sum `A ⊕ B ⊕ … = A ⊗ I ⊗ I + I ⊗ B ⊗ I + …` of any number of square matrices, as an operator that is never formed.
///
/// With two terms `Y = A X + X Bᵀ`, the left side of a Sylvester equation. Its eigenvalues are all sums λ_i + μ_j of the terms', with the Kronecker products of their
/// eigenvectors, and `f(A ⊕ B)` follows from them ([`spectrum`](Self::spectrum)): the inverse, powers, a square root, e^(A⊕B) = e^A ⊗ e^B. A product of
/// two Kronecker sums is none, (A ⊕ B)(C ⊕ D) = AC ⊕ BD + A ⊗ D + C ⊗ B, so there is no mixed product.
///
/// **Shapes**: `[Π n, Π n, Π n]` to itself, n over the terms of each axis. **Cost**: as a product with each term alone; no scratch.
///
/// ```
/// use kpflow_core::{kronecker::{Factor, KroneckerSum}, machine::Portable, BlockMut, BlockRef, LinearOperator, Shape};
/// let terms = [Factor::identity(2), Factor::dense(&[0.0, 1.0, 0.0, 0.0], 2, 2)?];
/// let sum = KroneckerSum::new(&terms, &Portable)?;
/// let (x, mut y) = ([1.0, 2.0, 3.0, 4.0], [0.0; 4]);
/// sum.apply(BlockRef::new(Shape::new(1, 2, 2), 1, &x)?, BlockMut::new(Shape::new(1, 2, 2), 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [3.0, 2.0, 7.0, 4.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KroneckerSum<'a, T, K> {
    terms: Factors<'a, T>,
    kernel: &'a K,
}

impl<'a, T: Scalar, K: Kernel<T>> KroneckerSum<'a, T, K> {
    /// Makes the sum: the last term acts on the units, the one before it on the steps, all others on the trajectories.
    ///
    /// **Errors**: [`Error::Matrix`] if a factor is not square; [`Error::Overflow`] if the sizes' product is beyond what can be counted.
    pub fn new(terms: &'a [Factor<'a, T>], kernel: &'a K) -> Result<Self, Error> {
        Self::checked(Factors::by_default(terms)?, kernel)
    }

    /// Makes the sum of which the first `groups[0]` terms act on the trajectories, the next `groups[1]` on the steps, the others on the units.
    ///
    /// **Errors**: as [`new`](Self::new); [`Error::Length`] if the groups are not all terms together.
    pub fn grouped(terms: &'a [Factor<'a, T>], groups: [usize; 3], kernel: &'a K) -> Result<Self, Error> {
        Self::checked(Factors::new(terms, groups)?, kernel)
    }

    fn checked(terms: Factors<'a, T>, kernel: &'a K) -> Result<Self, Error> {
        terms.iter().try_for_each(|f| f.size().map(|_| ()))?;
        Ok(Self { terms, kernel })
    }

    /// One of the terms, from the left.
    pub fn term(&self, k: usize) -> Option<Factor<'a, T>> {
        self.terms.get(k)
    }

    /// How many terms there are.
    pub fn count(&self) -> usize {
        self.terms.len()
    }

    /// n, the size of the sum.
    pub fn size(&self) -> usize {
        self.terms.domain().len()
    }

    /// The transpose: `(A ⊕ B)ᵀ = Aᵀ ⊕ Bᵀ`.
    pub fn t(&self) -> Self {
        Self { terms: self.terms.t(), kernel: self.kernel }
    }

    /// The trace, `Σ_k tr(A_k) · n/n_k`.
    pub fn trace(&self) -> f64 {
        self.terms.iter().enumerate().map(|(k, f)| f.trace().unwrap_or(0.0) * self.others(k)).sum()
    }

    /// The Frobenius norm: `‖·‖_F² = Σ_k ‖A_k‖_F² n/n_k + Σ_{k≠l} tr A_k tr A_l n/(n_k n_l)`.
    ///
    /// **Accuracy**: from the terms' parts without trace, which are orthogonal to each other, so that nothing cancels.
    pub fn frobenius_norm(&self) -> f64 {
        let n = self.size() as f64;
        if n == 0.0 {
            return 0.0;
        }
        let traceless = |f: Factor<'a, T>| {
            let size = f.rows();
            let mean = f.trace().unwrap_or(0.0) / size as f64;
            let entry = |i: usize, j: usize| f.at(i, j) - if i == j { mean } else { 0.0 };
            let entries = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
            entries.map(|(i, j)| entry(i, j) * entry(i, j)).sum::<f64>() * n / size as f64
        };
        let mean = self.trace() / n;
        let dense = self.terms.iter().filter(|f| f.matrix().is_some());
        libm::sqrt(dense.map(traceless).sum::<f64>() + mean * mean * n)
    }

    /// The effective rank as the participation ratio, `tr² / ‖·‖_F²`; 0 for a sum of zeros.
    pub fn effective_rank(&self) -> f64 {
        let (trace, norm) = (self.trace(), self.frobenius_norm());
        if norm > 0.0 {
            (trace / norm) * (trace / norm)
        } else {
            0.0
        }
    }

    /// The partial trace over term k's axis: `n_k ⊕_{l≠k} A_l + tr(A_k) I`, again a Kronecker sum.
    ///
    /// In the place of term k is the 1 × 1 matrix tr A_k. **Shapes**: `terms` is as long as there are terms. **Errors**: [`Error::Range`] if there is
    /// no such term, [`Error::Length`].
    pub fn partial_trace<'f>(&self, k: usize, terms: &'f mut [Factor<'a, T>]) -> Result<KroneckerSum<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let term = self.terms.require(k)?;
        let terms = self.terms.without(k, term.trace()?, term.rows() as f64, terms)?;
        Ok(KroneckerSum { terms, kernel: self.kernel })
    }

    /// The sum over term k's axis, (1 ⊗ I)ᵀ · (1 ⊗ I): `n_k ⊕_{l≠k} A_l + (1ᵀA_k1) I`. Not a partial trace.
    ///
    /// **Shapes**, **errors**: as [`partial_trace`](Self::partial_trace).
    pub fn axis_sum<'f>(&self, k: usize, terms: &'f mut [Factor<'a, T>]) -> Result<KroneckerSum<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let term = self.terms.require(k)?;
        let terms = self.terms.without(k, term.sum(), term.rows() as f64, terms)?;
        Ok(KroneckerSum { terms, kernel: self.kernel })
    }

    /// Numbers of each kind that [`spectrum`](Self::spectrum) needs: eigenvectors, eigenvalues, scratch.
    pub fn spectrum_len(&self) -> spectrum::SpectrumLen {
        spectrum::len(&self.terms)
    }

    /// Computes all eigenpairs of the terms, from which the sum's follow; for symmetric terms.
    ///
    /// See [`Kronecker::spectrum`](super::Kronecker::spectrum) for shapes, cost and errors.
    pub fn spectrum<'f, 'm: 'f>(
        &self,
        factors: &'f mut [Factor<'m, T>],
        vectors: &'m mut [T],
        values: &'m mut [f64],
        scratch: &mut [f64],
    ) -> Result<Spectrum<'f, T, K>, Error>
    where
        'a: 'f,
    {
        spectrum::compute(&self.terms, self.kernel, Rule::Sum, factors, vectors, values, scratch)
    }

    /// n / n_k.
    fn others(&self, k: usize) -> f64 {
        self.terms.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, f)| f.rows() as f64).product()
    }
}

impl<T: Scalar, K: Kernel<T>> LinearOperator<T> for KroneckerSum<'_, T, K> {
    fn domain(&self) -> Shape {
        self.terms.domain()
    }
    fn codomain(&self) -> Shape {
        self.terms.codomain()
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.domain(), self.codomain(), 0, &x, &y, scratch)?;
        let y = y.into_data();
        if y.is_empty() {
            return Ok(());
        }
        // Identities first, all at once; then every dense term adds.
        let identities: f64 = self.terms.iter().filter(|f| f.matrix().is_none()).map(|f| f.scale()).sum();
        y.iter_mut().zip(x.data()).for_each(|(y, x)| *y = T::of(identities) * *x);
        for (k, f) in self.terms.iter().enumerate() {
            let Some(a) = f.matrix() else { continue };
            let around = self.terms.around(k, m, |_, f| f.cols());
            multiply(self.kernel, T::of(f.scale()), a, around, x.data(), T::one(), y);
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.t().apply(x, y, scratch)
    }
    /// Symmetric, and so on, if all terms are; a dense term is looked at, and not known to be positive semidefinite.
    fn properties(&self) -> Properties {
        let terms = || self.terms.iter();
        Properties {
            symmetric: terms().all(|f| f.require_symmetric().is_ok()),
            positive_semidefinite: terms().all(|f| f.is_identity() && f.scale() >= 0.0),
            block_diagonal: terms().take(self.terms.groups()[0]).all(|f| f.is_identity()),
            rank_bound: self.size(),
        }
    }
}

impl<T, K> core::fmt::Display for KroneckerSum<'_, T, K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.terms.print(" ⊕ ", f)
    }
}
