//! Operators of low rank, given by a few vectors.

use super::delegate::by_expression;
use super::display::{expression, Binds};
use super::{check, Difference, LinearOperator, Properties};
use crate::error::{length, same};
use crate::probe::dot;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The operator `U S Vᵀ = Σ_i s_i u_i v_iᵀ` of rank k at most.
///
/// **Shapes**: U and V are blocks of k vectors, S is diagonal; V's shape to U's. **Adjoint**: `V S Uᵀ`. **Cost**: 2·k flops a number of either side;
/// scratch: k numbers a vector. **Accuracy**: scalar products are summed in doubles.
///
/// ```
/// use kpflow_core::{operator::LowRank, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 1, 2), [0.0; 2]);
/// let basis = BlockRef::new(shape, 2, &[1.0, 0.0, 0.0, 1.0])?;
/// let diagonal = LowRank::new(basis, &[2.0, 3.0], basis)?;
/// diagonal.apply(BlockRef::new(shape, 1, &[1.0, 1.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [0.0; 2])?;
/// assert_eq!(y, [2.0, 3.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LowRank<'a, T> {
    u: BlockRef<'a, T>,
    /// Ones where there is none.
    s: Option<&'a [T]>,
    v: BlockRef<'a, T>,
}

impl<'a, T: Scalar> LowRank<'a, T> {
    /// Makes `U S Vᵀ`.
    ///
    /// **Errors**: unless there are as many vectors on both sides and numbers between them.
    pub fn new(u: BlockRef<'a, T>, s: &'a [T], v: BlockRef<'a, T>) -> Result<Self, Error> {
        length(u.vectors(), s.len())?;
        if u.vectors() != v.vectors() {
            return Err(Error::Vectors { expected: u.vectors(), found: v.vectors() });
        }
        Ok(Self { u, s: Some(s), v })
    }

    /// y = to S fromᵀ x.
    fn product(
        &self,
        from: &BlockRef<'_, T>,
        to: &BlockRef<'_, T>,
        x: BlockRef<'_, T>,
        y: BlockMut<'_, T>,
        c: &mut [T],
    ) {
        let (k, m, mut y) = (from.vectors(), x.vectors(), y);
        y.data().fill(T::zero());
        if x.data().is_empty() || y.data().is_empty() || k == 0 {
            return;
        }
        for (i, c) in c[..m * k].iter_mut().enumerate() {
            let (v, i) = (i / k, i % k);
            let sum: f64 = (0..x.shape().trajectories).map(|b| dot(from.at(b, i), x.at(b, v))).sum();
            *c = T::of(sum * self.s.map_or(1.0, |s| s[i].f64()));
        }
        for (b, v) in (0..y.shape().trajectories).flat_map(|b| (0..m).map(move |v| (b, v))) {
            for i in 0..k {
                y.at(b, v).iter_mut().zip(to.at(b, i)).for_each(|(y, u)| *y += c[v * k + i] * *u);
            }
        }
    }
}

impl<T> fmt::Display for LowRank<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Product, |f| f.write_str("U S Vᵀ"))
    }
}

impl<T: Scalar> LinearOperator<T> for LowRank<'_, T> {
    fn domain(&self) -> Shape {
        self.v.shape()
    }
    fn codomain(&self) -> Shape {
        self.u.shape()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        vectors.saturating_mul(self.u.vectors())
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain(), self.codomain(), self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.product(&self.v, &self.u, x, y, scratch);
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain(), self.domain(), self.scratch_len(x.vectors()), &x, &y, scratch)?;
        self.product(&self.u, &self.v, x, y, scratch);
        Ok(())
    }
    /// Symmetric if U and V are the same numbers in memory.
    fn properties(&self) -> Properties {
        let symmetric = self.u.shape() == self.v.shape() && core::ptr::eq(self.u.data(), self.v.data());
        Properties {
            symmetric,
            positive_semidefinite: symmetric && self.s.is_none_or(|s| s.iter().all(|s| *s >= T::zero())),
            block_diagonal: false,
            rank_bound: self.u.vectors(),
        }
    }
}

/// The operator `u vᵀ` of rank one.
///
/// **Shapes**: v's shape to u's. **Adjoint**: `v uᵀ`. **Cost**: 2 flops a number of either side; scratch: a number a vector.
///
/// ```
/// use kpflow_core::{operator::RankOne, BlockMut, BlockRef, LinearOperator, Shape};
/// let (two, one, mut y) = (Shape::new(1, 1, 2), Shape::new(1, 1, 1), [0.0; 2]);
/// let outer = RankOne::new(two, &[1.0, 2.0], one, &[3.0])?;
/// outer.apply(BlockRef::new(one, 1, &[1.0])?, BlockMut::new(two, 1, &mut y)?, &mut [0.0])?;
/// assert_eq!(y, [3.0, 6.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RankOne<'a, T>(LowRank<'a, T>);

impl<'a, T: Scalar> RankOne<'a, T> {
    /// Makes `u vᵀ` of one vector of the shape `codomain` and one of the shape `domain`.
    ///
    /// **Errors**: if a vector is not of its length.
    pub fn new(codomain: Shape, u: &'a [T], domain: Shape, v: &'a [T]) -> Result<Self, Error> {
        Ok(Self(LowRank { u: BlockRef::new(codomain, 1, u)?, s: None, v: BlockRef::new(domain, 1, v)? }))
    }
}

impl<T> fmt::Display for RankOne<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Product, |f| f.write_str("u vᵀ"))
    }
}

by_expression!([T: Scalar] RankOne<'_, T>, |self| self.0);

/// The orthogonal projection `Q Qᵀ` onto the span of an orthonormal basis.
///
/// **Accuracy**: a projection as far as QᵀQ = I; what a basis lacks of it, `Q Qᵀ` lacks too. **Adjoint**: itself. **Cost**: 4·k flops a number; scratch: k
/// numbers a vector.
///
/// ```
/// use kpflow_core::{operator::Projection, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 1, 2), [0.0; 2]);
/// let onto = Projection::new(BlockRef::new(shape, 1, &[0.6, 0.8])?);
/// onto.apply(BlockRef::new(shape, 1, &[1.0, 0.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [0.0])?;
/// assert_eq!(y, [0.36, 0.48]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a, T>(LowRank<'a, T>);

impl<'a, T: Scalar> Projection<'a, T> {
    /// Makes `Q Qᵀ` of the vectors of Q, which have to be orthonormal.
    pub fn new(basis: BlockRef<'a, T>) -> Self {
        Self(LowRank { u: basis, s: None, v: basis })
    }
}

impl<T> fmt::Display for Projection<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Product, |f| f.write_str("Q Qᵀ"))
    }
}

by_expression!([T: Scalar] Projection<'_, T>, |self| self.0);

/// An operator without what is known of it: `A − V Λ Vᵀ`, for eigenpairs (Λ, V) that have been found.
///
/// **Adjoint**: `Aᵀ − V Λ Vᵀ`. **Cost**: a product with A and 4·k flops a number. **Scratch**: one more block, and A's or k numbers a vector.
///
/// ```
/// use kpflow_core::{operator::{Deflated, Diagonal}, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y, mut scratch) = (Shape::new(1, 1, 2), [0.0; 2], [0.0; 3]);
/// let (a, leading) = (Diagonal::new(shape, &[5.0, 1.0])?, BlockRef::new(shape, 1, &[1.0, 0.0])?);
/// let rest = Deflated::new(a, &[5.0], leading)?;
/// rest.apply(BlockRef::new(shape, 1, &[1.0, 1.0])?, BlockMut::new(shape, 1, &mut y)?, &mut scratch)?;
/// assert_eq!(y, [0.0, 1.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deflated<'a, A, T> {
    a: A,
    known: LowRank<'a, T>,
}

impl<'a, A: LinearOperator<T>, T: Scalar> Deflated<'a, A, T> {
    /// Makes `A − V Λ Vᵀ`.
    ///
    /// **Errors**: unless A is square and has V's shape, and there are as many values as vectors.
    pub fn new(a: A, values: &'a [T], vectors: BlockRef<'a, T>) -> Result<Self, Error> {
        same(a.domain(), a.codomain())?;
        same(a.domain(), vectors.shape())?;
        Ok(Self { a, known: LowRank::new(vectors, values, vectors)? })
    }
}

impl<A: fmt::Display, T> fmt::Display for Deflated<'_, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Sum, |f| write!(f, "{} − V Λ Vᵀ", self.a))
    }
}

by_expression!([A: LinearOperator<T>, T: Scalar] Deflated<'_, A, T>, |self| Difference { a: &self.a, b: self.known });
