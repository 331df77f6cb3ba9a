//! Operators made of operators, composed by value so that a whole expression is one type.

use super::{require, LinearOperator};
use crate::{BlockMut, BlockRef, Scalar, Shape};

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
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        (**self).apply(x, y, scratch);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        (**self).apply_adjoint(x, y, scratch);
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
    /// # Panics
    /// Unless B writes what A reads.
    pub fn new<T: Scalar>(a: A, b: B) -> Self
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        assert_eq!(
            a.domain(),
            b.codomain(),
            "a product's factors must fit: the right one writes what the left one reads"
        );
        Self { a, b }
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
        vectors * self.a.domain().len() + self.a.scratch_len(vectors).max(self.b.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        let (m, middle) = (x.vectors(), self.a.domain());
        require(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch);
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.b.apply(x, BlockMut::new(middle, m, between), scratch);
        self.a.apply(BlockRef::new(middle, m, between), y, scratch);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        let (m, middle) = (x.vectors(), self.a.domain());
        require(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch);
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.a.apply_adjoint(x, BlockMut::new(middle, m, between), scratch);
        self.b.apply_adjoint(BlockRef::new(middle, m, between), y, scratch);
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
    /// # Panics
    /// Unless both map between the same spaces.
    pub fn new<T: Scalar>(a: A, b: B) -> Self
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        assert!(a.domain() == b.domain() && a.codomain() == b.codomain(), "a sum's terms must have the same shapes");
        Self { a, b }
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
        vectors * self.domain().len().max(self.codomain().len())
            + self.a.scratch_len(vectors).max(self.b.scratch_len(vectors))
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) {
        let m = x.vectors();
        require(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch);
        let (other, scratch) = scratch.split_at_mut(m * self.codomain().len());
        self.a.apply(x, y.reborrow(), scratch);
        self.b.apply(x, BlockMut::new(self.codomain(), m, other), scratch);
        y.data().iter_mut().zip(other).for_each(|(y, z)| *y += *z);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) {
        let m = x.vectors();
        require(self.codomain(), self.domain(), self.scratch_len(m), &x, &y, scratch);
        let (other, scratch) = scratch.split_at_mut(m * self.domain().len());
        self.a.apply_adjoint(x, y.reborrow(), scratch);
        self.b.apply_adjoint(x, BlockMut::new(self.domain(), m, other), scratch);
        y.data().iter_mut().zip(other).for_each(|(y, z)| *y += *z);
    }
}

/// The multiple `α A`.
#[derive(Clone, Copy, Debug)]
pub struct Scale<A, T> {
    factor: T,
    a: A,
}

impl<A, T> Scale<A, T> {
    /// Makes `factor · A`.
    pub fn new(factor: T, a: A) -> Self {
        Self { factor, a }
    }
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Scale<A, T> {
    fn domain(&self) -> Shape {
        self.a.domain()
    }
    fn codomain(&self) -> Shape {
        self.a.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        self.a.scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.a.apply(x, y.reborrow(), scratch);
        y.data().iter_mut().for_each(|y| *y *= self.factor);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.a.apply_adjoint(x, y.reborrow(), scratch);
        y.data().iter_mut().for_each(|y| *y *= self.factor);
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
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.0.apply_adjoint(x, y, scratch);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.0.apply(x, y, scratch);
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
        vectors * self.0.domain().len() + self.0.scratch_len(vectors)
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        let (m, middle) = (x.vectors(), self.0.domain());
        require(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch);
        let (between, scratch) = scratch.split_at_mut(m * middle.len());
        self.0.apply_adjoint(x, BlockMut::new(middle, m, between), scratch);
        self.0.apply(BlockRef::new(middle, m, between), y, scratch);
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.apply(x, y, scratch);
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
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) {
        require(self.0, self.0, 0, &x, &y, scratch);
        y.data().copy_from_slice(x.data());
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        self.apply(x, y, scratch);
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
    /// # Panics
    /// If the matrix is of another size.
    pub fn new(matrix: &'a [T], domain: Shape, codomain: Shape) -> Self {
        assert_eq!(matrix.len(), domain.len() * codomain.len(), "a dense operator's matrix must be codomain × domain");
        Self { matrix, domain, codomain }
    }

    fn product(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, strides: (usize, usize)) {
        let (from, to) = (x.shape(), y.shape());
        let (m, n, k) = (x.vectors(), to.per_trajectory(), from.per_trajectory());
        for (i, out) in y.into_data().iter_mut().enumerate() {
            let (b, v, r) = (i / (m * n), i / n % m, i % n);
            *out = (0..from.trajectories)
                .flat_map(|c| x.part(c, v).iter().enumerate().map(move |(j, x)| (c * k + j, *x)))
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
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        require(self.domain, self.codomain, 0, &x, &y, scratch);
        self.product(x, y, (self.domain.len(), 1));
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) {
        require(self.codomain, self.domain, 0, &x, &y, scratch);
        self.product(x, y, (1, self.domain.len()));
    }
}
