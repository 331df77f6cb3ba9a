//! Operators that are known without any other.

use super::{check, LinearOperator, Properties};
use crate::error::length;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The identity I.
///
/// **Adjoint**: itself. **Cost**: a copy; no scratch.
///
/// ```
/// use kpflow_core::{operator::Identity, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 1, 2), [0.0; 2]);
/// Identity(shape).apply(BlockRef::new(shape, 1, &[1.0, 2.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [1.0, 2.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Identity(pub Shape);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("I")
    }
}

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
    fn properties(&self) -> Properties {
        Properties::IDENTITY
    }
}

/// The zero map 0 from one space to another.
///
/// **Adjoint**: zero the other way. **Cost**: a fill; no scratch.
///
/// ```
/// use kpflow_core::{operator::Zero, BlockMut, BlockRef, LinearOperator, Shape};
/// let (from, to, mut y) = (Shape::new(1, 1, 2), Shape::new(1, 3, 1), [7.0; 3]);
/// Zero { domain: from, codomain: to }.apply(BlockRef::new(from, 1, &[1.0, 2.0])?, BlockMut::new(to, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [0.0; 3]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Zero {
    /// The shape that is read.
    pub domain: Shape,
    /// The shape that is written.
    pub codomain: Shape,
}

impl fmt::Display for Zero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0")
    }
}

impl<T: Scalar> LinearOperator<T> for Zero {
    fn domain(&self) -> Shape {
        self.domain
    }
    fn codomain(&self) -> Shape {
        self.codomain
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.domain, self.codomain, 0, &x, &y, scratch)?;
        y.data().fill(T::zero());
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.codomain, self.domain, 0, &x, &y, scratch)?;
        y.data().fill(T::zero());
        Ok(())
    }
    fn properties(&self) -> Properties {
        let block_diagonal = self.domain.trajectories == self.codomain.trajectories;
        let zero = Properties { block_diagonal, rank_bound: 0, ..Properties::UNKNOWN };
        if self.domain == self.codomain {
            zero.semidefinite()
        } else {
            zero
        }
    }
}

/// The diagonal `diag(d)`: `y = d ⊙ x`.
///
/// **Shapes**: d is one vector of the space, in C order. **Adjoint**: itself. **Cost**: one multiplication a number; no scratch.
///
/// ```
/// use kpflow_core::{operator::Diagonal, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 1, 2), [0.0; 2]);
/// let d = Diagonal::new(shape, &[2.0, 3.0])?;
/// d.apply(BlockRef::new(shape, 1, &[1.0, 10.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [2.0, 30.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Diagonal<'a, T> {
    shape: Shape,
    diagonal: &'a [T],
}

impl<'a, T: Scalar> Diagonal<'a, T> {
    /// Makes `diag(d)`.
    ///
    /// **Errors**: if d is not one vector of the shape.
    pub fn new(shape: Shape, diagonal: &'a [T]) -> Result<Self, Error> {
        length(shape.len(), diagonal.len())?;
        Ok(Self { shape, diagonal })
    }
}

impl<T> fmt::Display for Diagonal<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("diag(d)")
    }
}

impl<T: Scalar> LinearOperator<T> for Diagonal<'_, T> {
    fn domain(&self) -> Shape {
        self.shape
    }
    fn codomain(&self) -> Shape {
        self.shape
    }
    fn scratch_len(&self, _vectors: usize) -> usize {
        0
    }
    fn apply(&self, x: BlockRef<'_, T>, mut y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        check(self.shape, self.shape, 0, &x, &y, scratch)?;
        let (m, n) = (x.vectors().max(1), self.shape.per_trajectory().max(1));
        for (i, (y, x)) in y.data().chunks_mut(n).zip(x.data().chunks(n)).enumerate() {
            let d = &self.diagonal[i / m * n..];
            y.iter_mut().zip(x).zip(d).for_each(|((y, x), d)| *y = *d * *x);
        }
        Ok(())
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.apply(x, y, scratch)
    }
    fn properties(&self) -> Properties {
        Properties { positive_semidefinite: self.diagonal.iter().all(|d| *d >= T::zero()), ..Properties::IDENTITY }
    }
}
