//! What is known of a Kronecker product from its factors: numbers, and the same product with a factor less.

use super::factor::relative;
use super::{spectrum, Factor, Kronecker, Rule, Spectrum};
use crate::dense::LogDeterminant;
use crate::machine::Kernel;
use crate::{Error, Scalar};

impl<'a, T: Scalar, K: Kernel<T>> Kronecker<'a, T, K> {
    /// The trace, `Π tr A_k`.
    ///
    /// **Errors**: [`Error::Matrix`] if a factor is not square.
    pub fn trace(&self) -> Result<f64, Error> {
        self.factors.iter().try_fold(1.0, |product, f| Ok(product * f.trace()?))
    }

    /// The Frobenius norm, `Π ‖A_k‖_F`.
    pub fn frobenius_norm(&self) -> f64 {
        self.factors.iter().map(|f| libm::sqrt(f.square())).product()
    }

    /// The effective rank as the participation ratio, `tr²/‖·‖_F² = Π tr(A_k)²/‖A_k‖_F²`; 0 for a product of zeros.
    ///
    /// **Errors**: [`Error::Matrix`] if a factor is not square.
    pub fn effective_rank(&self) -> Result<f64, Error> {
        self.factors.iter().try_fold(1.0, |product, f| {
            let (trace, square) = (f.trace()?, f.square());
            Ok(if square > 0.0 { product * (trace / square * trace) } else { 0.0 })
        })
    }

    /// Numbers of scratch that [`operator_norm`](Self::operator_norm), [`rank`](Self::rank) and [`determinant`](Self::determinant) need.
    pub fn factor_scratch_len(&self) -> usize {
        self.factors.iter().map(|f| f.singular_len()).max().unwrap_or(0)
    }

    /// The operator norm, `Π σ_1(A_k)`.
    ///
    /// **Cost**: the [singular values](crate::dense::singular_values) of every dense factor. **Accuracy**: n·ε a factor. **Errors**: the scratch is
    /// too short, a number is not finite.
    pub fn operator_norm(&self, scratch: &mut [f64]) -> Result<f64, Error> {
        self.factors.iter().try_fold(1.0, |product, f| Ok(product * f.norm_and_rank(0.0, scratch)?.0))
    }

    /// The rank, `Π rank A_k`.
    ///
    /// A factor's rank counts its singular values beyond `tolerance` times the largest; `None` takes max(rows, cols)·ε of T, what rounding alone makes.
    /// That is not to count the singular values of the product above one limit: small ones of several factors multiply.
    /// **Cost**, **errors**: as [`operator_norm`](Self::operator_norm).
    pub fn rank(&self, tolerance: Option<f64>, scratch: &mut [f64]) -> Result<usize, Error> {
        self.factors.iter().try_fold(1, |product, f| {
            let tolerance = tolerance.unwrap_or(relative::<T>(f.rows(), f.cols()));
            Ok(product * f.norm_and_rank(tolerance, scratch)?.1)
        })
    }

    /// The determinant, `Π det(A_k)^(n/n_k)`, as sign and logarithm, because it overflows early.
    ///
    /// For square factors. **Cost**: an elimination of every dense factor. **Accuracy**: ln|det| to cond·ε·n/n_k. **Errors**: [`Error::Matrix`] if a factor is not square, a scratch
    /// that is too short, a number that is not finite.
    pub fn determinant(&self, scratch: &mut [f64]) -> Result<LogDeterminant, Error> {
        self.factors.iter().enumerate().try_fold(LogDeterminant::ONE, |product, (k, f)| {
            let others = self.factors.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, f)| f.rows()).product();
            Ok(product.and(f.determinant(scratch)?.power(others)))
        })
    }

    /// The partial trace over factor k's axis, Σ_i (e_i ⊗ I)ᵀ (A ⊗ B) (e_i ⊗ I) = `tr(A) · B`: the product without the factor, times its trace.
    ///
    /// In the place of factor k is the 1 × 1 matrix tr A_k. **Shapes**: `factors` is as long as there are factors. **Errors**: [`Error::Matrix`] if a factor is not square;
    /// [`Error::Range`] if there is no such factor; [`Error::Length`].
    ///
    /// ```
    /// use kpflow_core::{kronecker::{Factor, Kronecker}, machine::Portable};
    /// let factors = [Factor::dense(&[1.0, 2.0, 3.0, 4.0], 2, 2)?, Factor::dense(&[7.0], 1, 1)?];
    /// let product = Kronecker::new(&factors, &Portable)?;
    /// let mut memory = [Factor::ONE; 2];
    /// assert_eq!(product.partial_trace(0, &mut memory)?.at(0, 0), 35.0); // (1 + 4)·7
    /// assert_eq!(product.axis_sum(0, &mut memory)?.at(0, 0), 70.0); // (1 + 2 + 3 + 4)·7
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
    pub fn partial_trace<'f>(&self, k: usize, factors: &'f mut [Factor<'a, T>]) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let trace = self.factors.require(k)?.trace()?;
        Ok(Kronecker { factors: self.factors.without(k, trace, 1.0, factors)?, kernel: self.kernel })
    }

    /// The sum over factor k's axis: (1 ⊗ I)ᵀ (A ⊗ B) (1 ⊗ I) = `(1ᵀA1) · B`. Not a partial trace.
    ///
    /// **Shapes**, **errors**: as [`partial_trace`](Self::partial_trace), but the factor need not be square.
    pub fn axis_sum<'f>(&self, k: usize, factors: &'f mut [Factor<'a, T>]) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let sum = self.factors.require(k)?.sum();
        Ok(Kronecker { factors: self.factors.without(k, sum, 1.0, factors)?, kernel: self.kernel })
    }

    /// Numbers of each kind that [`spectrum`](Self::spectrum) needs: eigenvectors, eigenvalues, scratch.
    pub fn spectrum_len(&self) -> spectrum::SpectrumLen {
        spectrum::len(&self.factors)
    }

    /// Computes all eigenpairs of the factors, from which the product's follow; for symmetric factors.
    ///
    /// **Shapes**: `factors` is as long as there are factors, the buffers as [`spectrum_len`](Self::spectrum_len) tells. **Cost**: a
    /// [symmetric eigenproblem](crate::dense::symmetric_eigen) for every dense factor. **Errors**: [`Error::NotSymmetric`], [`Error::Matrix`] if a factor is not square,
    /// [`Error::Length`], a number that is not finite.
    ///
    /// ```
    /// use kpflow_core::{kronecker::{Eigenpair, Factor, Kronecker}, machine::Portable};
    /// let factors = [Factor::dense(&[2.0, 0.0, 0.0, -3.0], 2, 2)?, Factor::dense(&[5.0, 0.0, 0.0, -1.0], 2, 2)?];
    /// let product = Kronecker::new(&factors, &Portable)?;
    /// let (mut vectors, mut values, mut scratch, mut memory) = ([0.0; 8], [0.0; 4], [0.0; 8], [Factor::ONE; 2]);
    /// let spectrum = product.spectrum(&mut memory, &mut vectors, &mut values, &mut scratch)?;
    /// let (mut pairs, mut room, mut v) = ([Eigenpair::default(); 2], [Eigenpair::default(); 8], [0.0; 4]);
    /// spectrum.largest(&mut pairs, &mut room)?;
    /// assert_eq!(pairs.map(|p| p.value), [10.0, 3.0]); // 2·5 and (−3)·(−1)
    /// spectrum.vector(pairs[1].index, &mut v)?;
    /// assert_eq!(v, [0.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
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
        spectrum::compute(&self.factors, self.kernel, Rule::Product, factors, vectors, values, scratch)
    }
}
