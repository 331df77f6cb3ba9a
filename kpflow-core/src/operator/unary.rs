//! Operators made of one operator: multiples, adjoints, Gram operators, the symmetric part.

use super::delegate::by_expression;
use super::display::{expression, product, Binds};
use super::{Compose, LinearOperator, Properties, Sum};
use crate::error::same;
use crate::{BlockMut, BlockRef, Error, Scalar, Shape};
use core::fmt;

/// The multiple `α A`.
///
/// **Adjoint**: `α Aᵀ`. **Cost**: one product with A; no more scratch.
///
/// ```
/// use kpflow_core::{operator::{Identity, Scaled}, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 1, 2), [0.0; 2]);
/// Scaled::new(3.0, Identity(shape)).apply(BlockRef::new(shape, 1, &[1.0, 2.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [3.0, 6.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
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

impl<A: fmt::Display, T: fmt::Display> fmt::Display for Scaled<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expression(f, Binds::Product, |f| write!(f, "{} {:#}", self.factor, self.a))
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
    fn properties(&self) -> Properties {
        let a = self.a.properties();
        Properties {
            positive_semidefinite: a.positive_semidefinite && self.factor >= T::zero(),
            rank_bound: if self.factor == T::zero() { 0 } else { a.rank_bound },
            ..a
        }
    }
}

/// The adjoint `Aᵀ`.
///
/// **Adjoint**: A. **Cost**: A's; no more scratch.
///
/// ```
/// use kpflow_core::{operator::{Adjoint, TimeShift}, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y) = (Shape::new(1, 3, 1), [0.0; 3]);
/// let back = Adjoint(TimeShift::new(shape, 1));
/// back.apply(BlockRef::new(shape, 1, &[1.0, 2.0, 3.0])?, BlockMut::new(shape, 1, &mut y)?, &mut [])?;
/// assert_eq!(y, [2.0, 3.0, 0.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Adjoint<A>(pub A);

impl<A: fmt::Display> fmt::Display for Adjoint<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}ᵀ", self.0)
    }
}

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
    fn properties(&self) -> Properties {
        self.0.properties()
    }
}

/// The Gram operator `A Aᵀ`, symmetric and positive semidefinite.
///
/// **Cost**: two products with A. **Scratch**: a block of A's domain, and A's.
///
/// ```
/// use kpflow_core::{operator::{Dense, Gram, Normal}, LinearOperator, Shape};
/// let row = Dense::new(&[3.0, 4.0], Shape::new(1, 1, 2), Shape::new(1, 1, 1))?;
/// assert_eq!((Gram(row).domain().len(), Normal(row).domain().len()), (1, 2));
/// assert_eq!((Gram(row).to_string(), Normal(row).to_string()), ("A ∘ Aᵀ".into(), "Aᵀ ∘ A".into()));
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gram<A>(pub A);

impl<A: fmt::Display> fmt::Display for Gram<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        product(f, &self.0, &Adjoint(&self.0))
    }
}

by_expression!(
    [T: Scalar, A: LinearOperator<T>] Gram<A>,
    |self| Compose { a: &self.0, b: Adjoint(&self.0) },
    is Properties::congruence(self.0.properties(), Properties::IDENTITY)
);

/// The Gram operator on the other side, `Aᵀ A`: the normal equations', symmetric and positive semidefinite.
///
/// **Cost**: two products with A. **Scratch**: a block of A's codomain, and A's. Example: [`Gram`].
#[derive(Clone, Copy, Debug)]
pub struct Normal<A>(pub A);

impl<A: fmt::Display> fmt::Display for Normal<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        product(f, &Adjoint(&self.0), &self.0)
    }
}

by_expression!(
    [T: Scalar, A: LinearOperator<T>] Normal<A>,
    |self| Compose { a: Adjoint(&self.0), b: &self.0 },
    is Properties::congruence(self.0.properties(), Properties::IDENTITY)
);

/// An operator seen through another, `R A Rᵀ`: of a [`Restriction`](super::Restriction) R the block of A that belongs to the part; of P and K the NTK.
///
/// **Adjoint**: `R Aᵀ Rᵀ`. **Cost**: two products with R and one with A. **Scratch**: a block of A's domain and one of its codomain, and the largest
/// of the factors' scratches. Symmetric and positive semidefinite if A is.
///
/// ```
/// use kpflow_core::{operator::{Diagonal, Restriction, Select, Within}, LinearOperator, Shape};
/// let shape = Shape::new(1, 1, 3);
/// let r = Restriction::new(shape, [Select::All, Select::All, (1..3).into()])?;
/// let part = Within::new(r, Diagonal::new(shape, &[5.0, 0.5, 2.0])?)?;
/// assert_eq!((part.domain().len(), part.properties().positive_semidefinite), (2, true));
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Within<R, A> {
    r: R,
    a: A,
}

impl<R, A> Within<R, A> {
    /// Makes `R A Rᵀ`.
    ///
    /// **Errors**: unless A is square and R reads what it writes.
    pub fn new<T: Scalar>(r: R, a: A) -> Result<Self, Error>
    where
        R: LinearOperator<T>,
        A: LinearOperator<T>,
    {
        same(a.domain(), r.domain())?;
        same(r.domain(), a.codomain())?;
        Ok(Self { r, a })
    }
}

impl<R: fmt::Display, A: fmt::Display> fmt::Display for Within<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (r, a) = (&self.r, &self.a);
        product(f, r, &Compose { a, b: Adjoint(r) })
    }
}

by_expression!(
    [T: Scalar, R: LinearOperator<T>, A: LinearOperator<T>] Within<R, A>,
    |self| Compose { a: &self.r, b: Compose { a: &self.a, b: Adjoint(&self.r) } },
    is Properties::congruence(self.r.properties(), self.a.properties())
);

/// The symmetric part `(A + Aᵀ)/2` of a square A; `xᵀAx = xᵀ sym(A) x`.
///
/// **Adjoint**: itself. **Cost**: two products with A. **Scratch**: one more block, and A's.
///
/// ```
/// use kpflow_core::{operator::{Dense, SymmetricPart}, BlockMut, BlockRef, LinearOperator, Shape};
/// let (shape, mut y, mut scratch) = (Shape::new(1, 1, 2), [0.0; 2], [0.0; 2]);
/// let symmetric = SymmetricPart::new(Dense::new(&[0.0, 1.0, 3.0, 0.0], shape, shape)?)?;
/// symmetric.apply(BlockRef::new(shape, 1, &[1.0, 0.0])?, BlockMut::new(shape, 1, &mut y)?, &mut scratch)?;
/// assert_eq!(y, [0.0, 2.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SymmetricPart<A>(A);

impl<A> SymmetricPart<A> {
    /// Makes `(A + Aᵀ)/2`.
    ///
    /// **Errors**: if A is not square.
    pub fn new<T: Scalar>(a: A) -> Result<Self, Error>
    where
        A: LinearOperator<T>,
    {
        same(a.domain(), a.codomain())?;
        Ok(Self(a))
    }
}

impl<A: fmt::Display> fmt::Display for SymmetricPart<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sym({})", self.0)
    }
}

by_expression!(
    [T: Scalar, A: LinearOperator<T>] SymmetricPart<A>,
    |self| Scaled::new(T::of(0.5), Sum { a: &self.0, b: Adjoint(&self.0) }),
    is {
        let a = self.0.properties();
        if a.symmetric { a } else { Properties { symmetric: true, ..Properties::sum(a, a) } }
    }
);

/// An operator under a name: what an expression prints instead of its inside.
///
/// ```
/// use kpflow_core::{operator::{Compose, Identity, Named}, Shape};
/// let a = Named { symbol: "W", a: Identity(Shape::new(1, 1, 2)) };
/// assert_eq!(Compose::new::<f64>(a, a)?.to_string(), "W ∘ W");
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Named<'a, A> {
    /// The name.
    pub symbol: &'a str,
    /// The operator.
    pub a: A,
}

impl<A> fmt::Display for Named<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol)
    }
}

by_expression!([T: Scalar, A: LinearOperator<T>] Named<'_, A>, |self| &self.a);
