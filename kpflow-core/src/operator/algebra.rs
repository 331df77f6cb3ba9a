//! Operators made of operators, composed by value so that a whole expression is one type.

use super::{check, LinearOperator};
use crate::error::{length, same};
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};

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
}

/// The product `A B`: B first, then A. **Scratch**: the vectors between, and the larger of the factors' scratches.
#[derive(Clone, Copy, Debug)]
pub struct Compose<A, B> {
    a: A,
    b: B,
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
}

/// The sum `A + B`. **Scratch**: one more block, and the larger of the terms' scratches.
#[derive(Clone, Copy, Debug)]
pub struct Sum<A, B> {
    a: A,
    b: B,
}

impl<A, B> Sum<A, B> {
    /// Makes `A + B`.
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

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> LinearOperator<T> for Sum<A, B> {
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
        y.data().iter_mut().zip(other).for_each(|(y, z)| *y += *z);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch)?;
        let (other, scratch) = scratch.split_at_mut(m * self.domain().len());
        self.a.apply_adjoint(x, y.reborrow(), scratch)?;
        self.b.apply_adjoint(x, BlockMut::of(self.domain(), m, other), scratch)?;
        y.data().iter_mut().zip(other).for_each(|(y, z)| *y += *z);
        Ok(())
    }
}

/// The multiple `α A`.
#[derive(Clone, Copy, Debug)]
pub struct Scaled<A, T> {
    factor: T,
    a: A,
}

impl<A, T> Scaled<A, T> {
    /// Makes `factor · A`.
    pub fn new(factor: T, a: A) -> Self {
        Self { factor, a }
    }
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Scaled<A, T> {
    fn domain(&self) -> Shape {
        self.a.domain()
    }
    fn codomain(&self) -> Shape {
        self.a.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.a.scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.a.apply(x, y.reborrow(), scratch)?;
        y.data().iter_mut().for_each(|y| *y *= self.factor);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.a.apply_adjoint(x, y.reborrow(), scratch)?;
        y.data().iter_mut().for_each(|y| *y *= self.factor);
        Ok(())
    }
}

/// The adjoint `Aᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Adjoint<A>(pub A);

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Adjoint<A> {
    fn domain(&self) -> Shape {
        self.0.codomain()
    }
    fn codomain(&self) -> Shape {
        self.0.domain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.0.scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.0.apply_adjoint(x, y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.0.apply(x, y, scratch)
    }
}

/// The Gram operator `A Aᵀ`, symmetric and positive semidefinite. **Cost**: two products with A.
#[derive(Clone, Copy, Debug)]
pub struct Gram<A>(pub A);

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Gram<A> {
    fn domain(&self) -> Shape {
        self.0.codomain()
    }
    fn codomain(&self) -> Shape {
        self.0.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors.saturating_mul(self.0.domain().len()).saturating_add(self.0.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let (m, middle) = (x.vectors(), self.0.domain());
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.0.apply_adjoint(x, BlockMut::of(middle, m, between), scratch)?;
        self.0.apply(BlockRef::of(middle, m, between), y, scratch)
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
}

/// The identity.
#[derive(Clone, Copy, Debug)]
pub struct Identity(pub Shape);

impl<T: Scalar> LinearOperator<T> for Identity {
    fn domain(&self) -> Shape {
        self.0
    }
    fn codomain(&self) -> Shape {
        self.0
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.0, self.0, 0, &x, &y, scratch)?;
        y.data().copy_from_slice(x.data());
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
}

/// A dense matrix between two spaces, row-major over flat indices: the oracle of tests, and for small problems.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a, T> {
    matrix: &'a [T],
    domain: Shape,
    codomain: Shape,
}

impl<'a, T: Scalar> Dense<'a, T> {
    /// Views `matrix`, `[codomain.len(), domain.len()]`, as an operator.
    ///
    /// **Errors**: if the matrix is of another size.
    pub fn new(matrix: &'a [T], domain: Shape, codomain: Shape) -> Result<Self, Error> {
        length(domain.len().saturating_mul(codomain.len()), matrix.len())?;
        Ok(Self { matrix, domain, codomain })
    }

    fn product(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, strides: (usize, usize)) {
        let (from, to) = (x.shape(), y.shape());
        let (m, n, k) = (x.vectors(), to.per_trajectory(), from.per_trajectory());
        for (i, out) in y.into_data().iter_mut().enumerate() {
            let (b, v, r) = (i / (m * n), i / n % m, i % n);
            *out = (0..from.trajectories)
                .flat_map(|c| x.at(c, v).iter().enumerate().map(move |(j, x)| (c * k + j, *x)))
                .map(|(j, x)| self.matrix[(b * n + r) * strides.0 + j * strides.1] * x)
                .sum();
        }
    }
}

impl<T: Scalar> LinearOperator<T> for Dense<'_, T> {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn codomain(&self) -> Shape {
        self.codomain
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain, self.codomain, 0, &x, &y, scratch)?;
        self.product(x, y, (self.domain.len(), 1));
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain, self.domain, 0, &x, &y, scratch)?;
        self.product(x, y, (1, self.domain.len()));
        Ok(())
    }
}
