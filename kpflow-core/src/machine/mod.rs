//! What the mathematics needs from the machine that it runs on.
//!
//! Four things: a matrix product, sums of diagonals times rows, a sum over the trajectories that live elsewhere,
//! and a way to do independent pieces of work. [`Portable`] has all of them in plain safe Rust, on one thread
//! and one process; the runner brings OpenBLAS, rayon and MPI. The operators know only these traits.

mod diagonals;
mod matrix;
mod portable;
mod slab;

pub use diagonals::{combine, Diagonals, Term};
pub use matrix::{Gemm, MatMut, MatRef};
pub use portable::Portable;
pub use slab::{Portions, Slab};

use crate::{Error, Scalar};

/// The arithmetic kernels that the hot loops are made of. What they are given has been checked: [`Gemm`], [`Diagonals`].
pub trait Kernel<T: Scalar>: Sync {
    /// Computes the matrix product `C ← α A B + β C`.
    ///
    /// β = 0 means that C is only written, whatever it held. **Cost**: 2·rows·cols·inner flops.
    ///
    /// ```
    /// use kpflow_core::machine::{Kernel, MatMut, MatRef, Portable, Gemm};
    /// let (a, b, mut c) = ([1.0, 2.0], [3.0, 4.0], [f64::NAN]);
    /// let (row, column) = (MatRef::new(&a, 1, 2, 2)?, MatRef::new(&b, 1, 2, 2)?.t());
    /// Portable.gemm(1.0, Gemm::new(row, column, MatMut::new(&mut c, 1, 1, 1)?)?, 0.0);
    /// assert_eq!(c, [11.0]);
    /// # Ok::<(), kpflow_core::Error>(())
    /// ```
    fn gemm(&self, alpha: T, gemm: Gemm<'_, T>, beta: T);

    /// Computes a sum of diagonals times rows: `y[v][j] (+)= Σ_i c_i[j] · x_i[v][j]`.
    #[inline]
    fn combine(&self, sum: Diagonals<'_, T>) {
        combine(sum);
    }

    /// Whether products with a B of inner × cols are faster where B is stored so than where its transpose is: a B that many products share is then worth
    /// being transposed once.
    fn prefers_plain(&self, inner: usize, cols: usize) -> bool {
        let _ = (inner, cols);
        false
    }
}

/// Sums and gathers over the processes that hold the other trajectories.
///
/// Collective: every process makes the same calls in the same order.
pub trait Reduce<T: Scalar>: Sync {
    /// Replaces `values` by their sum over all processes, the same everywhere.
    fn sum(&self, values: &mut [T]);

    /// Sums over all processes what is made piece by piece, and hands each piece on as soon as it is there.
    ///
    /// `make(i, piece)` fills piece i of `values`, which has `length(i)` numbers; its sum may go on while the next are made. When all are made, `take(i, piece)` is
    /// called for each in its order, perhaps while later ones are still being summed. As many pieces of the same lengths on every process. Where
    /// there is nothing to overlap with, all are made, then summed, then taken.
    fn sum_pieces<L, F, G>(&self, values: &mut [T], pieces: usize, length: L, mut make: F, mut take: G)
    where
        L: Fn(usize) -> usize,
        F: FnMut(usize, &mut [T]),
        G: FnMut(usize, &[T]),
    {
        let mut rest = &mut *values;
        for i in 0..pieces {
            let (piece, next) = rest.split_at_mut(length(i));
            make(i, piece);
            rest = next;
        }
        self.sum(values);
        let mut rest = &*values;
        for i in 0..pieces {
            let (piece, next) = rest.split_at(length(i));
            take(i, piece);
            rest = next;
        }
    }

    /// Concatenates every process's `local`, in the order of the processes, into `all`.
    ///
    /// **Errors**: unless `all` is as long as all the locals together.
    fn gather(&self, local: &[T], all: &mut [T]) -> Result<(), Error>;

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

    /// Calls `task(i, work, out_i)` for every i < `count`, where `out_i` is the i-th piece of `out_len` numbers of `out` and `work`, of `work_len` numbers, is what
    /// the lane used for its piece before: `work` holds as much for every lane, and a lane takes the next piece when it is done with one.
    fn for_each_in_turn<T: Scalar, F>(
        &self,
        count: usize,
        out: &mut [T],
        out_len: usize,
        work: &mut [T],
        work_len: usize,
        task: F,
    ) where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        for (i, out) in out.chunks_mut(out_len.max(1)).take(count).enumerate() {
            task(i, &mut work[..work_len], out);
        }
    }

    /// Calls `task(i, work_i, y_i)` for every portion i of some vectors of the block `y`, where `work_i` is the i-th piece of `work_len` numbers of `work` and
    /// `y_i` has the portion's vectors.
    fn for_each_portion<T: Scalar, F>(&self, portions: &Portions, work: &mut [T], work_len: usize, y: &mut [T], task: F)
    where
        F: Fn(usize, &mut [T], Slab<'_, '_, T>) + Sync,
    {
        for i in 0..portions.count() {
            task(i, &mut work[i * work_len..][..work_len], portions.slab(i, y));
        }
    }
}

/// Everything that operators need from a machine.
pub trait Machine<T: Scalar>: Kernel<T> + Reduce<T> + Tasks {}
impl<T: Scalar, M: Kernel<T> + Reduce<T> + Tasks> Machine<T> for M {}
