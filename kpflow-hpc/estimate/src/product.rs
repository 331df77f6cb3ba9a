//! The block product: what an estimator needs of an operator.

use crate::error::fits;
use crate::{Result, Tall};
use kpflow_core::operator::Properties;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Scalar, Shape};
use std::cell::RefCell;
use std::ops::Range;

/// An operator that can be applied to a block of vectors.
pub trait Product<T> {
    /// This process's shape of what it reads.
    fn domain(&self) -> Shape;
    /// This process's shape of what it writes.
    fn codomain(&self) -> Shape;
    /// Writes the products of some columns of x to the same columns of y.
    ///
    /// **Errors**: it does not go on ([`Error::Stopped`](crate::Error)); then the estimate ends with that.
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()>;
    /// What is known of the whole operator, over all processes: the same on each of them. Nothing, unless the implementation says more.
    fn properties(&self) -> Properties {
        Properties::UNKNOWN
    }
    /// Whether what [`properties`](Self::properties) does not claim is not so: then an estimator that needs it refuses. Otherwise it takes its chance.
    fn is_told_in_full(&self) -> bool {
        false
    }
}

impl<T, P: Product<T> + ?Sized> Product<T> for &P {
    fn domain(&self) -> Shape {
        (**self).domain()
    }
    fn codomain(&self) -> Shape {
        (**self).codomain()
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        (**self).apply(x, columns, y)
    }
    fn properties(&self) -> Properties {
        (**self).properties()
    }
    fn is_told_in_full(&self) -> bool {
        (**self).is_told_in_full()
    }
}

/// y = A x of one vector, by a function.
///
/// ```
/// # use kpflow_estimate::*;
/// // The second difference on a line of 1000 points.
/// let n = 1000;
/// let a = Function::new(n, |x: &[f64], y: &mut [f64]| {
///     for i in 0..n {
///         let (left, right) = (if i > 0 { x[i - 1] } else { 0.0 }, if i + 1 < n { x[i + 1] } else { 0.0 });
///         y[i] = 2.0 * x[i] - left - right;
///     }
/// });
/// let found = hutchinson(&Problem::alone(a, 0), &Budget { rtol: 0.01, max_matvecs: 1000 })?;
/// assert!((found.value - 2000.0).abs() < 4.0 * found.standard_error.max(1.0));
/// # Ok::<(), Error>(())
/// ```
pub struct Function<F> {
    shape: Shape,
    f: F,
}

impl<F> Function<F> {
    /// An operator on vectors of n numbers.
    pub fn new(n: usize, f: F) -> Self {
        Self { shape: Shape::new(1, 1, n), f }
    }
}

impl<T: Scalar, F: Fn(&[T], &mut [T])> Product<T> for Function<F> {
    fn domain(&self) -> Shape {
        self.shape
    }
    fn codomain(&self) -> Shape {
        self.shape
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        columns.for_each(|v| (self.f)(x.part(0, v), y.part_mut(0, v)));
        Ok(())
    }
}

/// An operator of the core, applied to a block at a time.
pub struct Applied<'a, T> {
    operator: &'a dyn LinearOperator<T>,
    work: RefCell<Vec<T>>,
}

impl<'a, T: Scalar> Applied<'a, T> {
    /// Makes a block product of an operator.
    pub fn new(operator: &'a dyn LinearOperator<T>) -> Self {
        Self { operator, work: RefCell::default() }
    }
}

impl<T: Scalar> Product<T> for Applied<'_, T> {
    fn domain(&self) -> Shape {
        self.operator.domain()
    }
    fn codomain(&self) -> Shape {
        self.operator.codomain()
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        let (m, first) = (columns.len(), columns.start);
        let (x_len, y_len) = (m * x.shape.len(), m * y.shape.len());
        let mut work = self.work.borrow_mut();
        work.resize(x_len + y_len + self.operator.scratch_len(m), T::zero());
        let (input, rest) = work.split_at_mut(x_len);
        let (output, scratch) = rest.split_at_mut(y_len);
        let (n_in, n_out) = (x.shape.per_trajectory(), y.shape.per_trajectory());
        for b in 0..x.shape.trajectories {
            (0..m).for_each(|v| input[(b * m + v) * n_in..][..n_in].copy_from_slice(x.part(b, first + v)));
        }
        let (from, to) = (fits(BlockRef::new(x.shape, m, input)), fits(BlockMut::new(y.shape, m, output)));
        self.operator.apply(from, to, scratch)?;
        for b in 0..y.shape.trajectories {
            (0..m).for_each(|v| y.part_mut(b, first + v).copy_from_slice(&output[(b * m + v) * n_out..][..n_out]));
        }
        Ok(())
    }
    fn properties(&self) -> Properties {
        self.operator.properties()
    }
}

/// The sum over the processes that hold the other trajectories: the second thing that an estimator needs. `()` is one process alone.
///
/// All processes make the same calls in the same order.
pub trait Sums {
    /// Replaces numbers by their sums over all processes, the same bits everywhere.
    fn sum(&self, numbers: &mut [f64]);

    /// The number of this process, and how many there are.
    fn place(&self) -> (usize, usize);

    /// Writes every process's `own`, one after the other, to `all`, where this one's begin at `first`.
    fn gather(&self, own: &[f64], first: usize, all: &mut [f64]) {
        all.fill(0.0);
        all[first..first + own.len()].copy_from_slice(own);
        self.sum(all);
    }

    /// Numbers that all processes have alike: as `make` makes them, or as a record of the same estimate has them.
    ///
    /// **Errors**: the record is of another estimate.
    fn recall(&self, length: usize, make: &mut dyn FnMut() -> Vec<f64>) -> Result<Vec<f64>> {
        let _ = length;
        Ok(make())
    }
}

impl Sums for () {
    fn sum(&self, _: &mut [f64]) {}
    fn place(&self) -> (usize, usize) {
        (0, 1)
    }
}
