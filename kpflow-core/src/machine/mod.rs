//! What the mathematics needs from the machine that it runs on.
//!
//! Four things: a matrix product, sums of diagonals times rows, a sum over the trajectories that live elsewhere,
//! and a way to do independent pieces of work. [`Portable`] has all of them in plain safe Rust, on one thread
//! and one process; the runner brings OpenBLAS, rayon and MPI. The operators know only these traits.

mod matrix;
mod portable;

pub use matrix::{MatMut, MatRef};
pub use portable::{combine, Portable};

use crate::Scalar;

/// The arithmetic kernels that the hot loops are made of.
pub trait Kernel<T: Scalar>: Sync {
    /// Computes the matrix product `C ← α A B + β C`.
    ///
    /// β = 0 means that C is only written, whatever it held. **Cost**: 2·rows·cols·inner flops.
    ///
    /// # Panics
    /// Unless A is rows × inner, B inner × cols and C rows × cols.
    fn gemm(&self, alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>);

    /// Computes a sum of diagonals times rows: `y[v][j] (+)= Σ_i c_i[j] · x_i[v][j]` for every row v < `rows`, added or only written.
    ///
    /// Row v of x_i begins at `v · stride`, of y at `v · y_stride`; as many numbers of each are used as every c has.
    #[inline]
    fn combine(&self, terms: &[Term<'_, T>], y: &mut [T], y_stride: usize, rows: usize, add: bool) {
        combine(terms, y, y_stride, rows, add);
    }
}

/// A diagonal and the rows that it multiplies.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a, T> {
    /// The diagonal.
    pub c: &'a [T],
    /// The rows.
    pub x: &'a [T],
    /// The distance between rows.
    pub stride: usize,
}

impl<T> Term<'_, T> {
    /// Nothing: what an array of terms is filled with.
    pub const EMPTY: Self = Self { c: &[], x: &[], stride: 0 };
}

/// Sums and gathers over the processes that hold the other trajectories.
///
/// Collective: every process makes the same calls in the same order.
pub trait Reduce<T: Scalar>: Sync {
    /// Replaces `values` by their sum over all processes, the same everywhere.
    fn sum(&self, values: &mut [T]);

    /// Concatenates every process's `local`, in the order of the processes, into `all`.
    ///
    /// # Panics
    /// Unless `all` is as long as all the locals together.
    fn gather(&self, local: &[T], all: &mut [T]);

    /// The sum over all processes of a count, the same everywhere.
    fn sum_count(&self, count: usize) -> usize;
}

/// Runs independent pieces of work, perhaps at the same time.
pub trait Tasks: Sync {
    /// How many pieces can run at the same time.
    fn lanes(&self) -> usize;

    /// Calls `task(i, a_i, b_i)` for every i < `count`, where `a_i` is the i-th piece of `a_len` numbers of `a`
    /// (the last may be shorter) and `b_i` likewise of `b`. Pieces beyond the end are empty.
    fn for_each<T: Scalar, F>(&self, count: usize, a: &mut [T], a_len: usize, b: &mut [T], b_len: usize, task: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync;
}

/// Everything that operators need from a machine.
pub trait Machine<T: Scalar>: Kernel<T> + Reduce<T> + Tasks {}
impl<T: Scalar, M: Kernel<T> + Reduce<T> + Tasks> Machine<T> for M {}
