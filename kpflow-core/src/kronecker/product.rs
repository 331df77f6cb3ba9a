//! The Kronecker product as an operator.

use super::factors::{multiply, Factors};
use super::Factor;
use crate::machine::Kernel;
use crate::operator::{check, Properties};
use crate::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// The Kronecker product `A ⊗ B ⊗ …` of any number of dense matrices and identities, as an operator that is never formed.
///
/// Every factor acts on its own part of one axis: with two, `vec Y = (A ⊗ B) vec X` is `Y = A X Bᵀ`, A acting on the steps and B on the units.
/// An identity leaves its axis alone and costs nothing. Rectangular factors change the axis's length.
///
/// **Shapes**: `[Π cols, Π cols, Π cols]` to `[Π rows, Π rows, Π rows]` over the factors of each axis. **Cost**: one product for a factor at either end of
/// the block, one for every index before it in the middle; 2·rows flops for every number carried, the factors that shorten what is carried first.
/// Formed, A ⊗ B takes 2·A.rows·B.rows·A.cols·B.cols. **Scratch**: what is between two products, at most two such blocks. **Accuracy**: that of matrix products.
///
/// ```
/// use kpflow_core::{kronecker::{Factor, Kronecker}, machine::Portable, BlockMut, BlockRef, LinearOperator, Shape};
/// let factors = [Factor::dense(&[1.0, 2.0], 1, 2)?, Factor::dense(&[3.0, 0.0, 0.0, 5.0], 2, 2)?];
/// let product = Kronecker::new(&factors, &Portable)?;
/// let (x, mut y, mut scratch) = ([1.0; 4], [0.0; 2], [0.0; 4]);
/// product.apply(BlockRef::new(Shape::new(1, 2, 2), 1, &x)?, BlockMut::new(Shape::new(1, 1, 2), 1, &mut y)?, &mut scratch)?;
/// assert_eq!(y, [9.0, 15.0]);
/// # Ok::<(), kpflow_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kronecker<'a, T, K> {
    pub(super) factors: Factors<'a, T>,
    pub(super) kernel: &'a K,
}

impl<'a, T: Scalar, K: Kernel<T>> Kronecker<'a, T, K> {
    /// Makes the product: the last factor acts on the units, the one before it on the steps, all others on the trajectories.
    ///
    /// **Errors**: [`Error::Overflow`] if the sizes' product is beyond what can be counted.
    pub fn new(factors: &'a [Factor<'a, T>], kernel: &'a K) -> Result<Self, Error> {
        Ok(Self { factors: Factors::by_default(factors)?, kernel })
    }

    /// Makes the product of which the first `groups[0]` factors act on the trajectories, the next `groups[1]` on the steps, the others on the units.
    ///
    /// An axis without factors has length 1. **Errors**: as [`new`](Self::new); [`Error::Length`] if the groups are not all factors together.
    pub fn grouped(factors: &'a [Factor<'a, T>], groups: [usize; 3], kernel: &'a K) -> Result<Self, Error> {
        Ok(Self { factors: Factors::new(factors, groups)?, kernel })
    }

    /// One of the factors, from the left.
    pub fn factor(&self, k: usize) -> Option<Factor<'a, T>> {
        self.factors.get(k)
    }

    /// How many factors there are.
    pub fn count(&self) -> usize {
        self.factors.len()
    }

    /// How many of the factors act on the trajectories, the steps and the units.
    pub fn groups(&self) -> [usize; 3] {
        self.factors.groups()
    }

    /// The transpose: `(A ⊗ B)ᵀ = Aᵀ ⊗ Bᵀ`. Nothing is moved.
    pub fn t(&self) -> Self {
        Self { factors: self.factors.t(), kernel: self.kernel }
    }

    /// The number at (row, column) of the product, the factors' numbers multiplied; 0 beyond it.
    pub fn at(&self, mut row: usize, mut column: usize) -> f64 {
        let mut value = 1.0;
        for f in self.factors.iter().rev() {
            let (rows, cols) = (f.rows().max(1), f.cols().max(1));
            value *= f.at(row % rows, column % cols);
            (row, column) = (row / rows, column / cols);
        }
        if row == 0 && column == 0 {
            value
        } else {
            0.0
        }
    }

    /// The two buffers that products between the first and the last write to in turn.
    fn between(&self, vectors: usize) -> [usize; 2] {
        let (mut longest, mut stage, mut at) = ([0; 2], 0, self.factors.next(None));
        while let Some(now) = at {
            at = self.factors.next(Some(now));
            if at.is_some() {
                let size = self.factors.size_after(Some(now));
                let len = self.factors.iter().enumerate().map(|(i, f)| size(i, f)).product::<usize>();
                longest[stage % 2] = longest[stage % 2].max(len.saturating_mul(vectors));
                stage += 1;
            }
        }
        longest
    }
}

impl<T: Scalar, K: Kernel<T>> LinearOperator<T> for Kronecker<'_, T, K> {
    fn domain(&self) -> Shape {
        self.factors.domain()
    }
    fn codomain(&self) -> Shape {
        self.factors.codomain()
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        let total = |[a, b]: [usize; 2]| a.saturating_add(b);
        total(self.between(vectors)).max(total(self.t().between(vectors)))
    }
    fn apply(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        let m = x.vectors();
        check(self.domain(), self.codomain(), self.scratch_len(m), &x, &y, scratch)?;
        let y = y.into_data();
        let scale = T::of(self.factors.scale());
        if x.data().is_empty() || y.is_empty() {
            // A sum of nothing.
            y.fill(T::zero());
            return Ok(());
        }
        let Some(mut now) = self.factors.next(None) else {
            y.iter_mut().zip(x.data()).for_each(|(y, x)| *y = scale * *x);
            return Ok(());
        };
        let [first, second] = self.between(m);
        let (mut free, rest) = scratch.split_at_mut(first);
        let (mut from, mut len, mut done) = (&mut rest[..second], 0, None);
        loop {
            let (k, next) = (now.1, self.factors.next(Some(now)));
            let Some(a) = self.factors.get(k).and_then(|f| f.matrix()) else { return Ok(()) };
            let around = self.factors.around(k, m, self.factors.size_after(done));
            let (read, alpha) = if done.is_none() { (x.data(), scale) } else { (&from[..len], T::one()) };
            let Some(next) = next else {
                multiply(self.kernel, alpha, a, around, read, T::zero(), y);
                return Ok(());
            };
            let written = around.0 * a.rows * around.1;
            multiply(self.kernel, alpha, a, around, read, T::zero(), &mut free[..written]);
            (free, from, len) = (from, free, written);
            (done, now) = (Some(now), next);
        }
    }
    fn apply_adjoint(&self, x: BlockRef<'_, T>, y: BlockMut<'_, T>, scratch: &mut [T]) -> Result<(), Error> {
        self.t().apply(x, y, scratch)
    }
    /// Symmetric, and so on, if all factors are; a dense factor is looked at, and not known to be positive semidefinite.
    fn properties(&self) -> Properties {
        let factors = || self.factors.iter();
        Properties {
            symmetric: factors().all(|f| f.require_symmetric().is_ok()),
            positive_semidefinite: factors().all(|f| f.is_identity() && f.scale() >= 0.0),
            block_diagonal: factors().take(self.groups()[0]).all(|f| f.is_identity()),
            rank_bound: factors().map(|f| f.rank_bound()).product(),
        }
    }
}

impl<T, K> core::fmt::Display for Kronecker<'_, T, K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.factors.print(" ⊗ ", f)
    }
}
