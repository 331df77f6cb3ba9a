//! Methods that read like the mathematics.

use super::{
    Adjoint, Compose, Deflated, Difference, Gram, LinearOperator, Named, Normal, PartialAverage, PartialTrace, Scaled,
    Sum, SymmetricPart, Within,
};
use crate::{Axis, BlockRef, Error, Scalar};

/// The algebra of operators as methods, for every operator and reference to one.
///
/// What cannot fit gives an [`Error`] at once, which the operators `+ − *` could not: so there are none.
///
/// ```
/// use kpflow_core::operator::{Dense, Expression, Identity};
/// use kpflow_core::Shape;
/// let shape = Shape::new(1, 1, 2);
/// let (p, k) = (Dense::new(&[1.0, 0.5, 0.0, 1.0], shape, shape)?.named("P"), Identity(shape).named("K"));
/// let ntk = p.compose::<f64, _>(k)?.compose(p.adjoint())?;
/// assert_eq!(ntk.to_string(), "P ∘ K ∘ Pᵀ");
/// assert_eq!(k.within::<f64, _>(p)?.to_string(), "P ∘ K ∘ Pᵀ");
/// assert_eq!(ntk.plus::<f64, _>(k.scaled(2.0))?.adjoint().to_string(), "(P ∘ K ∘ Pᵀ + 2 K)ᵀ");
/// assert_eq!(p.minus::<f64, _>(k)?.compose::<f64, _>(p)?.to_string(), "(P − K) ∘ P");
/// # Ok::<(), kpflow_core::Error>(())
/// ```
pub trait Expression: Sized {
    /// Makes `A B`: B first, then A.
    ///
    /// **Errors**: unless B writes what A reads.
    fn compose<T: Scalar, B: LinearOperator<T>>(self, b: B) -> Result<Compose<Self, B>, Error>
    where
        Self: LinearOperator<T>,
    {
        Compose::new(self, b)
    }

    /// Makes `B A`: A first, then B.
    ///
    /// **Errors**: unless A writes what B reads.
    fn then<T: Scalar, B: LinearOperator<T>>(self, b: B) -> Result<Compose<B, Self>, Error>
    where
        Self: LinearOperator<T>,
    {
        Compose::new(b, self)
    }

    /// Makes `R A Rᵀ`: of a restriction R the block of A that belongs to the part, of P the operator P A Pᵀ.
    ///
    /// **Errors**: unless A is square and R reads what it writes.
    fn within<T: Scalar, R: LinearOperator<T>>(self, r: R) -> Result<Within<R, Self>, Error>
    where
        Self: LinearOperator<T>,
    {
        Within::new(r, self)
    }

    /// Makes `A + B`.
    ///
    /// **Errors**: unless both map between the same spaces.
    fn plus<T: Scalar, B: LinearOperator<T>>(self, b: B) -> Result<Sum<Self, B>, Error>
    where
        Self: LinearOperator<T>,
    {
        Sum::new(self, b)
    }

    /// Makes `A − B`.
    ///
    /// **Errors**: unless both map between the same spaces.
    fn minus<T: Scalar, B: LinearOperator<T>>(self, b: B) -> Result<Difference<Self, B>, Error>
    where
        Self: LinearOperator<T>,
    {
        Difference::new(self, b)
    }

    /// Makes `α A`.
    fn scaled<T: Scalar>(self, factor: T) -> Scaled<Self, T> {
        Scaled::new(factor, self)
    }

    /// Makes `Aᵀ`.
    fn adjoint(self) -> Adjoint<Self> {
        Adjoint(self)
    }

    /// Makes `A Aᵀ`.
    fn gram(self) -> Gram<Self> {
        Gram(self)
    }

    /// Makes `Aᵀ A`.
    fn normal(self) -> Normal<Self> {
        Normal(self)
    }

    /// Makes `(A + Aᵀ)/2`.
    ///
    /// **Errors**: if A is not square.
    fn symmetric_part<T: Scalar>(self) -> Result<SymmetricPart<Self>, Error>
    where
        Self: LinearOperator<T>,
    {
        SymmetricPart::new(self)
    }

    /// Makes `A − V Λ Vᵀ`.
    ///
    /// **Errors**: unless A is square and has V's shape, and there are as many values as vectors.
    fn deflated<'a, T: Scalar>(self, values: &'a [T], vectors: BlockRef<'a, T>) -> Result<Deflated<'a, Self, T>, Error>
    where
        Self: LinearOperator<T>,
    {
        Deflated::new(self, values, vectors)
    }

    /// Makes `Σ_i e_iᵀ A e_i` over an axis.
    ///
    /// **Errors**: if A is not square.
    fn partial_trace<T: Scalar>(self, axis: Axis) -> Result<PartialTrace<Self>, Error>
    where
        Self: LinearOperator<T>,
    {
        PartialTrace::new(self, axis)
    }

    /// Makes `(1/n) Σ_i e_iᵀ A e_i` over an axis of n places.
    ///
    /// **Errors**: if A is not square.
    fn partial_average<T: Scalar>(self, axis: Axis) -> Result<PartialAverage<Self>, Error>
    where
        Self: LinearOperator<T>,
    {
        PartialAverage::new(self, axis)
    }

    /// Gives the operator a name, which expressions print.
    fn named(self, symbol: &str) -> Named<'_, Self> {
        Named { symbol, a: self }
    }
}

impl<A> Expression for A {}
