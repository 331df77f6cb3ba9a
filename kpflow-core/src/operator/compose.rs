//! Operators made of two operators, composed by value so that a whole expression is one type.

use super::display::{expression, product, Binds};
use super::{check, LinearOperator, Properties};
use crate::error::same;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

impl<T: Scalar, A: LinearOperator<T> + ?Sized> LinearOperator<T> for &A {
    fn domain(&self) -> Shape {
        (**self).domain()
    }
    fn codomain(&self) -> Shape {
        (**self).codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        (**self).scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        (**self).apply(x, y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        (**self).apply_adjoint(x, y, scratch)
    }
    fn properties(&self) -> Properties {
        (**self).properties()
    }
}

/// The product `A B`: B first, then A.
///
/// **Adjoint**: `Bᵀ Aᵀ`. **Cost**: one product with each. **Scratch**: the vectors between, and the larger of the factors' scratches.
///
/// ```
/// use kpflow_core::{operator::{Compose, Diagonal, TimeShift}, Axis, BlockMut, BlockRef, LinearOperator, Shape};
/// let shape = Shape::new(1, 3, 1);
/// let (shift, weights) = (TimeShift::new(shape, 1), Diagonal::new(shape, &[1.0, 10.0, 100.0])?);
/// let product = Compose::new(weights, shift)?;
/// let (mut y, mut scratch) = ([0.0; 3], [0.0; 3]);
/// product.apply(BlockRef::new(shape, 1, &[1.0, 2.0, 3.0])?, BlockMut::new(shape, 1, &mut y)?, &mut scratch)?;
/// assert_eq!(y, [0.0, 10.0, 200.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Compose<A, B> {
    pub(super) a: A,
    pub(super) b: B,
}

impl<A, B> Compose<A, B> {
    /// Makes `A B`.
    ///
    /// **Errors**: unless B writes what A reads.
    pub fn new<T: Scalar>(a: A, b: B) -> Result<Self, Error>
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        same(a.domain(), b.codomain())?;
        Ok(Self { a, b })
    }
}

impl<A: fmt::Display, B: fmt::Display> fmt::Display for Compose<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        product(f, &self.a, &self.b)
    }
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> LinearOperator<T> for Compose<A, B> {
    fn domain(&self) -> Shape {
        self.b.domain()
    }
    fn codomain(&self) -> Shape {
        self.a.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let inner = self.a.scratch_len(vectors).max(self.b.scratch_len(vectors));
        vectors.saturating_mul(self.a.domain().len()).saturating_add(inner)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (m, middle) = (x.vectors(), self.a.domain());
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.b.apply(x, BlockMut::of(middle, m, between), scratch)?;
        self.a.apply(BlockRef::of(middle, m, between), y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (m, middle) = (x.vectors(), self.a.domain());
        check(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch)?;
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.a.apply_adjoint(x, BlockMut::of(middle, m, between), scratch)?;
        self.b.apply_adjoint(BlockRef::of(middle, m, between), y, scratch)
    }
    fn properties(&self) -> Properties {
        Properties::product(self.a.properties(), self.b.properties())
    }
}

/// The [`Sum`] `A + B` or the [`Difference`] `A − B`.
///
/// **Adjoint**: `Aᵀ ± Bᵀ`. **Cost**: one product with each. **Scratch**: one more block, and the larger of the terms' scratches.
///
/// ```
/// use kpflow_core::{operator::{Difference, Identity, Scaled, Sum}, Shape};
/// let shape = Shape::new(1, 2, 3);
/// let sum = Sum::new::<f64>(Identity(shape), Scaled::new(2.0, Identity(shape)))?;
/// assert_eq!(sum.to_string(), "I + 2 I");
/// let difference = Difference::new::<f64>(Identity(shape), sum)?;
/// assert_eq!(difference.to_string(), "I − (I + 2 I)");
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Combination<A, B, const MINUS: bool> {
    pub(super) a: A,
    pub(super) b: B,
}

/// The sum `A + B`: see [`Combination`].
pub type Sum<A, B> = Combination<A, B, false>;

/// The difference `A − B`: see [`Combination`].
pub type Difference<A, B> = Combination<A, B, true>;

impl<A, B, const MINUS: bool> Combination<A, B, MINUS> {
    /// Makes `A ± B`.
    ///
    /// **Errors**: unless both map between the same spaces.
    pub fn new<T: Scalar>(a: A, b: B) -> Result<Self, Error>
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        same(a.domain(), b.domain())?;
        same(a.codomain(), b.codomain())?;
        Ok(Self { a, b })
    }
}

impl<A: fmt::Display, B: fmt::Display, const MINUS: bool> fmt::Display for Combination<A, B, MINUS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Sum, |f| match MINUS {
            false => write!(f, "{} + {}", self.a, self.b),
            true => write!(f, "{} − {:#}", self.a, self.b),
        })
    }
}

/// `y ± z`, in y.
fn add<T: Scalar, const MINUS: bool>(y: &mut [T], z: &[T]) {
    y.iter_mut().zip(z).for_each(|(y, z)| if MINUS { *y -= *z } else { *y += *z });
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>, const MINUS: bool> LinearOperator<T>
    for Combination<A, B, MINUS>
{
    fn domain(&self) -> Shape {
        self.a.domain()
    }
    fn codomain(&self) -> Shape {
        self.a.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let inner = self.a.scratch_len(vectors).max(self.b.scratch_len(vectors));
        vectors.saturating_mul(self.domain().len().max(self.codomain().len())).saturating_add(inner)
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        let (other, scratch) = scratch.split_at_mut(m * self.codomain().len());
        self.a.apply(x, y.reborrow(), scratch)?;
        self.b.apply(x, BlockMut::of(self.codomain(), m, other), scratch)?;
        add::<T, MINUS>(y.data(), other);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch)?;
        let (other, scratch) = scratch.split_at_mut(m * self.domain().len());
        self.a.apply_adjoint(x, y.reborrow(), scratch)?;
        self.b.apply_adjoint(x, BlockMut::of(self.domain(), m, other), scratch)?;
        add::<T, MINUS>(y.data(), other);
        Ok(())
    }
    fn properties(&self) -> Properties {
        let sum = Properties::sum(self.a.properties(), self.b.properties());
        Properties { positive_semidefinite: sum.positive_semidefinite && !MINUS, ..sum }
    }
}
