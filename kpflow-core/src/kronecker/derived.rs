//! Kronecker products that follow from others factor by factor: mixed product, inverse, power, square root.

use super::factor::relative;
use super::{Factor, Kronecker};
use crate::dense;
use crate::error::{enough, length};
use crate::machine::{Gemm, Kernel, MatMut};
use crate::{Error, Scalar};

/// Cuts the next `len` numbers off a buffer.
fn take<'m, T>(memory: &mut &'m mut [T], len: usize) -> Result<&'m mut [T], Error> {
    let given = memory.len();
    let (piece, rest) =
        core::mem::take(memory).split_at_mut_checked(len).ok_or(Error::Length { expected: len, found: given })?;
    *memory = rest;
    Ok(piece)
}

impl<'a, T: Scalar, K: Kernel<T>> Kronecker<'a, T, K> {
    /// Numbers of memory that [`times`](Self::times) needs: the products of factors that are both dense.
    pub fn times_len(&self, other: &Kronecker<'_, T, K>) -> usize {
        let both = |(x, y): (Factor<'_, T>, Factor<'_, T>)| match (x.matrix(), y.matrix()) {
            (Some(_), Some(_)) => x.rows().saturating_mul(y.cols()),
            _ => 0,
        };
        self.factors.iter().zip(other.factors.iter()).map(both).sum()
    }

    /// The product of two, factor by factor: `(A ⊗ B)(C ⊗ D) = AC ⊗ BD`. A factor times an identity is itself, and takes no memory.
    ///
    /// **Shapes**: `factors` is as long as there are factors, `memory` [`times_len`](Self::times_len). **Cost**: a product of small matrices a factor.
    /// **Errors**: [`Error::Matrix`] if the products' factors do not fit one by one, [`Error::Length`].
    ///
    /// ```
    /// use kpflow_core::{kronecker::{Factor, Kronecker}, machine::Portable};
    /// let left = [Factor::dense(&[1.0, 2.0], 1, 2)?, Factor::identity(3)];
    /// let right = [Factor::dense(&[3.0, 4.0], 2, 1)?, Factor::dense(&[1.0, 0.0, 2.0], 3, 1)?];
    /// let (a, b) = (Kronecker::new(&left, &Portable)?, Kronecker::new(&right, &Portable)?);
    /// let (mut memory, mut factors) = ([0.0; 1], [Factor::ONE; 2]);
    /// let ab = a.times(&b, &mut factors, &mut memory)?;
    /// assert_eq!([0, 1, 2].map(|i| ab.at(i, 0)), [11.0, 0.0, 22.0]);
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
    pub fn times<'f, 'm: 'f>(
        &self,
        other: &Kronecker<'m, T, K>,
        factors: &'f mut [Factor<'m, T>],
        mut memory: &'m mut [T],
    ) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'm,
    {
        for (x, y) in self.groups().into_iter().zip(other.groups()) {
            length(x, y)?;
        }
        length(self.count(), factors.len())?;
        for (to, (x, y)) in factors.iter_mut().zip(self.factors.iter().zip(other.factors.iter())) {
            if x.cols() != y.rows() {
                return Err(Error::Matrix { expected: (x.cols(), y.cols()), found: (y.rows(), y.cols()) });
            }
            *to = match (x.matrix(), y.matrix()) {
                (None, _) => y.scaled(x.scale()),
                (_, None) => x.scaled(y.scale()),
                (Some(a), Some(b)) => {
                    let out = take(&mut memory, dense::area(a.rows, b.cols)?)?;
                    self.kernel.gemm(T::one(), Gemm::new(a, b, MatMut::new(out, a.rows, b.cols, b.cols)?)?, T::zero());
                    Factor::dense(out, a.rows, b.cols)?.scaled(x.scale() * y.scale())
                }
            };
        }
        Ok(Kronecker { factors: self.factors.with(factors)?, kernel: self.kernel })
    }

    /// Numbers of memory that the inverse, a power or the square root needs: those of the dense factors.
    pub fn dense_len(&self) -> usize {
        self.factors.iter().map(|f| f.dense_len()).sum()
    }

    /// Numbers of scratch that the inverse, a power or the square root needs.
    pub fn derived_scratch_len(&self) -> usize {
        let len = |f: Factor<'a, T>| match f.matrix() {
            Some(_) => f.rows().saturating_mul(f.rows()).saturating_mul(3).saturating_add(f.rows()),
            None => 0,
        };
        self.factors.iter().map(len).max().unwrap_or(0)
    }

    /// The inverse, `(A ⊗ B)⁻¹ = A⁻¹ ⊗ B⁻¹`.
    ///
    /// **Shapes**: `factors` is as long as there are factors, `memory` [`dense_len`](Self::dense_len), `scratch`
    /// [`derived_scratch_len`](Self::derived_scratch_len). **Cost**: 2⅔·n³ flops a dense factor. **Accuracy**: cond(A_k)·ε a factor, in doubles. **Errors**:
    /// [`Error::Singular`] if no digit of a factor's inverse would be right; [`Error::Matrix`] if a factor is not square; [`Error::Length`]; a number that is not finite.
    pub fn inverse<'f, 'm: 'f>(
        &self,
        factors: &'f mut [Factor<'m, T>],
        memory: &'m mut [T],
        scratch: &mut [f64],
    ) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let scale = |size, x: f64| if x == 0.0 && size > 0 { Err(Error::Singular { size }) } else { Ok(1.0 / x) };
        self.derive(factors, memory, scratch, scale, |_, n, a, rest| {
            let inverse = &mut rest[..n * n];
            dense::invert(n, a, inverse)?;
            a.copy_from_slice(inverse);
            Ok(())
        })
    }

    /// An integer power, `(A ⊗ B)^e = A^e ⊗ B^e`; the 0th is the identity.
    ///
    /// **Shapes**: as [`inverse`](Self::inverse). **Cost**: up to 4·n³·log₂ e flops a dense factor. **Accuracy**: e·n·ε·‖A_k‖^e. **Errors**:
    /// [`Error::Matrix`] if a factor is not square, [`Error::Length`].
    pub fn power<'f, 'm: 'f>(
        &self,
        exponent: u32,
        factors: &'f mut [Factor<'m, T>],
        memory: &'m mut [T],
        scratch: &mut [f64],
    ) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let scale = |_, x| Ok(libm::pow(x, f64::from(exponent)));
        self.derive(factors, memory, scratch, scale, |_, n, a, rest| {
            let (power, rest) = rest.split_at_mut(n * n);
            dense::power(n, a, exponent, power, rest)?;
            a.copy_from_slice(power);
            Ok(())
        })
    }

    /// The symmetric square root, `(A ⊗ B)^½ = A^½ ⊗ B^½`, of positive semidefinite factors.
    ///
    /// **Shapes**: as [`inverse`](Self::inverse). **Cost**: a [symmetric eigenproblem](crate::dense::symmetric_eigen) a dense factor. **Accuracy**: its square
    /// is off by n·ε·‖A_k‖. **Errors**: [`Error::NotSemidefinite`] if a factor has an eigenvalue below −n·ε·‖A_k‖ (ε that of T);
    /// [`Error::NotSymmetric`], [`Error::Matrix`] if a factor is not square, [`Error::Length`], a number that is not finite. Two negative factors, whose product
    /// has a root, are an error too.
    pub fn square_root<'f, 'm: 'f>(
        &self,
        factors: &'f mut [Factor<'m, T>],
        memory: &'m mut [T],
        scratch: &mut [f64],
    ) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        let scale = |size, x: f64| {
            let negative = x < 0.0 && size > 0;
            if negative {
                Err(Error::NotSemidefinite { negative: size, size })
            } else {
                Ok(libm::sqrt(x))
            }
        };
        self.derive(factors, memory, scratch, scale, |f, n, a, rest| {
            f.require_symmetric()?;
            dense::square_root(n, a, relative::<T>(n, n), rest)
        })
    }

    /// Maps factor by factor: identities through `scale`, dense factors (written to the front of the scratch) through `map`.
    fn derive<'f, 'm: 'f>(
        &self,
        factors: &'f mut [Factor<'m, T>],
        mut memory: &'m mut [T],
        scratch: &mut [f64],
        scale: impl Fn(usize, f64) -> Result<f64, Error>,
        map: impl Fn(&Factor<'a, T>, usize, &mut [f64], &mut [f64]) -> Result<(), Error>,
    ) -> Result<Kronecker<'f, T, K>, Error>
    where
        'a: 'f,
    {
        length(self.count(), factors.len())?;
        enough(self.derived_scratch_len(), scratch.len())?;
        for (to, from) in factors.iter_mut().zip(self.factors.iter()) {
            let n = from.size()?;
            *to = match from.matrix() {
                None => Factor::identity(n).scaled(scale(n, from.scale())?),
                Some(_) => {
                    let (a, rest) = scratch.split_at_mut(n * n);
                    from.write(a);
                    map(&from, n, a, rest)?;
                    let out = take(&mut memory, n * n)?;
                    out.iter_mut().zip(a).for_each(|(o, x)| *o = T::of(*x));
                    Factor::dense(out, n, n)?
                }
            };
        }
        Ok(Kronecker { factors: self.factors.with(factors)?, kernel: self.kernel })
    }
}
