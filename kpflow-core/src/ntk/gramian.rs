//! Exact traces of recurrent models from their observability Gramians.

use super::features::Features;
use crate::error::{enough, length};
use crate::machine::{Gemm, Machine, MatMut, MatRef};
use crate::model::Linearization;
use crate::{Error, Scalar};
use core::ops::Range;

/// Rows of the stack of X(t, s) that are multiplied at a time.
const ROWS: usize = 256;

/// Steps that are gone back before the stack is multiplied on: about √T, at which all products together are fewest.
fn stride(steps: usize) -> usize {
    (1..).find(|k| k * k >= steps).unwrap_or(1)
}

/// Numbers of A, a product and a Gramian, and of the work that A takes.
fn step_len<T: Scalar>(lin: &Linearization<'_, T>) -> usize {
    let n = lin.shape().units;
    3usize.saturating_mul(n.saturating_mul(n)).saturating_add(lin.graph().step_len())
}

fn ntk_len<T: Scalar>(lin: &Linearization<'_, T>) -> usize {
    let (steps, n) = (lin.shape().steps, lin.shape().units);
    let rows = steps.saturating_add(1).saturating_mul(n).saturating_add(ROWS.max(n));
    rows.saturating_mul(n).saturating_add(n).saturating_add(step_len(lin))
}

/// Flops of [`ntk_traces`] for one trajectory.
pub fn ntk_traces_flops<T: Scalar>(lin: &Linearization<'_, T>) -> f64 {
    let (steps, n) = (lin.shape().steps as f64, lin.shape().units as f64);
    let stride = stride(lin.shape().steps) as f64;
    steps * n * n * n * (steps / stride + stride + 8.0) + steps * steps * n * n
}

/// Flops of [`propagator_gram_traces`] for one trajectory.
pub fn propagator_gram_traces_flops<T: Scalar>(lin: &Linearization<'_, T>) -> f64 {
    let (steps, n) = (lin.shape().steps as f64, lin.shape().units as f64);
    6.0 * steps * n * n * n
}

/// The numbers of scratch that [`ntk_traces`] needs, for a trajectory on every lane.
pub fn ntk_traces_scratch_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    machine.lanes().max(1).saturating_mul(ntk_len(lin))
}

/// The numbers of scratch that [`propagator_gram_traces`] needs, for a trajectory on every lane.
pub fn propagator_gram_traces_scratch_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    machine.lanes().max(1).saturating_mul(step_len(lin))
}

/// Computes the exact trace of NTK of some trajectories, one by one.
///
/// With A_t = ∂z_t/∂z_{t−1}, Φ(t,s) = A_t … A_{s+1} and the observability Gramians N_t = I + A_{t+1}ᵀ N_{t+1} A_{t+1},
/// `tr NTK_bb = Σ_sites Σ_{s≤t} (2 − [s=t]) G[t,s] tr(D_tᵀ N_t Φ(t,s) D_s)`.
///
/// **Shapes**: `features` are the rows of [`Features::write`], `out` has a number for each of the `trajectories`.
/// Only diagonals of X(t, s) = N_t Φ(t, s) count, and with X(t, s) = X(t, m) Φ(m, s) they are N dot products: the X are multiplied on only
/// every √T steps. **Cost**: about 2·T^(3/2)·N³ flops a trajectory, as products of up to 256 rows; T·N² numbers of scratch a lane. No
/// randomness.
/// **Errors**: returns `false`, having done nothing, unless the model is one recurrence in which the state is read only at the step before.
///
/// Otherwise an error if a buffer is too short.
pub fn ntk_traces<T: Scalar, M: Machine<T>>(
    features: &Features<'_, T>,
    rows: &[T],
    trajectories: Range<usize>,
    machine: &M,
    out: &mut [T],
    scratch: &mut [T],
) -> Result<bool, Error> {
    let (lin, len) = (features.linearization(), features.row_len());
    let all = lin.shape().trajectories.saturating_mul(lin.shape().steps).saturating_mul(len);
    length(all, rows.len())?;
    let per = lin.shape().steps * len;
    each(lin, trajectories, machine, out, (scratch, ntk_len(lin)), |b, scratch| {
        ntk_trace(features, &rows[b * per..][..per], machine, b, scratch)
    })
}

/// Computes the exact trace of P Pᵀ of some trajectories, one by one: `tr (P Pᵀ)_bb = Σ_t tr N_t`, with the Gramians N_t of [`ntk_traces`].
///
/// **Shapes**: `out` has a number for each of the `trajectories`. **Cost**: 6·T·N³ flops a trajectory; 3·N² numbers of scratch a lane and those of a
/// step. No randomness.
/// **Errors**: returns `false`, having done nothing, unless the model is one recurrence in which the state is read only at the step before.
///
/// Otherwise an error if a buffer is too short.
pub fn propagator_gram_traces<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    trajectories: Range<usize>,
    machine: &M,
    out: &mut [T],
    scratch: &mut [T],
) -> Result<bool, Error> {
    each(lin, trajectories, machine, out, (scratch, step_len(lin)), |b, scratch| {
        let mut back = Back::new(lin, b, scratch);
        (0..lin.steps_of(b)).rev().map(|s| back.to(s, machine)).sum()
    })
}

/// Writes `trace(trajectory, scratch of its lane)` of some trajectories, if the model is one recurrence.
fn each<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    trajectories: Range<usize>,
    machine: &M,
    out: &mut [T],
    (scratch, lane): (&mut [T], usize),
    trace: impl Fn(usize, &mut [T]) -> f64 + Sync,
) -> Result<bool, Error> {
    if !lin.graph().is_single_recurrence() {
        return Ok(false);
    }
    lin.require_values()?;
    enough(machine.lanes().max(1).saturating_mul(lane), scratch.len())?;
    length(trajectories.end.min(lin.shape().trajectories).saturating_sub(trajectories.start), out.len())?;
    machine.for_each_in_turn(out.len(), out, 1, scratch, lane, |i, scratch, out| {
        out[0] = T::of(trace(trajectories.start + i, scratch));
    });
    Ok(true)
}

/// The Gramians N_s of a trajectory, from the last step back.
struct Back<'l, 'g, 's, T> {
    lin: &'l Linearization<'g, T>,
    b: usize,
    /// A_{s+1}.
    a: &'s mut [T],
    /// N_s.
    gramian: &'s mut [T],
    product: &'s mut [T],
    work: &'s mut [T],
}

impl<'l, 'g, 's, T: Scalar> Back<'l, 'g, 's, T> {
    /// At the end, in [`step_len`] numbers.
    fn new(lin: &'l Linearization<'g, T>, b: usize, scratch: &'s mut [T]) -> Self {
        let square = lin.shape().units * lin.shape().units;
        let (a, rest) = scratch.split_at_mut(square);
        let (gramian, rest) = rest.split_at_mut(square);
        let (product, work) = rest.split_at_mut(square);
        gramian.fill(T::zero());
        Self { lin, b, a, gramian, product, work }
    }

    /// Goes from N_{s+1} to N_s = I + A_{s+1}ᵀ N_{s+1} A_{s+1} and tells its trace.
    fn to<M: Machine<T>>(&mut self, s: usize, machine: &M) -> f64 {
        let n = self.lin.shape().units;
        // N_T is nothing, and there is no A_T.
        if s + 1 < self.lin.steps_of(self.b) {
            self.lin.write_step_jacobian(self.b, s + 1, self.a, self.work, machine);
            let a = matrix(self.a, n);
            let product = MatMut::of(self.product, n, n, n);
            machine.gemm(T::one(), Gemm::of(matrix(self.gramian, n), a, product), T::zero());
            let next = MatMut::of(self.gramian, n, n, n);
            machine.gemm(T::one(), Gemm::of(a.t(), matrix(self.product, n), next), T::zero());
        }
        let diagonal = self.gramian.iter_mut().step_by(n + 1);
        diagonal.fold(0.0, |sum, x| {
            *x += T::one();
            sum + x.f64()
        })
    }
}

fn ntk_trace<T: Scalar, M: Machine<T>>(
    features: &Features<'_, T>,
    rows: &[T],
    machine: &M,
    b: usize,
    scratch: &mut [T],
) -> f64 {
    let lin = features.linearization();
    let (steps, n) = (lin.steps_of(b), lin.shape().units);
    let square = n * n;
    let (stack, rest) = scratch.split_at_mut(steps * square);
    let (product, rest) = rest.split_at_mut(ROWS.max(n) * n);
    let (phi, rest) = rest.split_at_mut(square);
    let (e, rest) = rest.split_at_mut(n);
    let mut back = Back::new(lin, b, rest);
    let row = |t: usize| &rows[t * features.row_len()..][..features.row_len()];
    let mut trace = 0.0;
    // The stack holds X(t, m) of t ≥ m and X(t, s) of m > t ≥ s, the latest t first; `phi` holds Φ(m, s)ᵀ.
    let mut m = steps;
    for s in (0..steps).rev() {
        back.to(s, machine);
        if s + 1 < steps {
            // Φ(m, s)ᵀ = A_{s+1}ᵀ Φ(m, s+1)ᵀ.
            if s + 1 == m {
                transpose(back.a, phi, n);
            } else if m < steps {
                let next = MatMut::of(&mut product[..square], n, n, n);
                machine.gemm(T::one(), Gemm::of(matrix(back.a, n).t(), matrix(phi, n), next), T::zero());
                phi.copy_from_slice(&product[..square]);
            }
            let later = &mut stack[(steps - m) * square..(steps - 1 - s) * square];
            multiply(later, back.a, false, n, product, machine);
        }
        stack[(steps - 1 - s) * square..][..square].copy_from_slice(back.gramian);
        for t in s..steps {
            let x = &stack[(steps - 1 - t) * square..][..square];
            let twice = if t == s { 1.0 } else { 2.0 };
            features.diagonals(row(t), row(s), e, |ua, ub, e| {
                let entry = |i: usize| match t < m {
                    true => x[(ua + i) * n + ub + i],
                    false => dot(&x[(ua + i) * n..][..n], &phi[(ub + i) * n..][..n]),
                };
                trace += twice * e.iter().enumerate().map(|(i, e)| (*e * entry(i)).f64()).sum::<f64>();
            });
        }
        if m - s >= stride(steps) && s > 0 {
            multiply(&mut stack[..(steps - m) * square], phi, true, n, product, machine);
            m = s;
        }
    }
    trace
}

fn matrix<T: Scalar>(x: &[T], n: usize) -> MatRef<'_, T> {
    MatRef::of(x, n, n, n)
}

/// Replaces every matrix X of a stack by X A, or X Aᵀ.
fn multiply<T: Scalar, M: Machine<T>>(
    stack: &mut [T],
    a: &[T],
    transposed: bool,
    n: usize,
    product: &mut [T],
    machine: &M,
) {
    let a = MatRef::of(a, n, n, n);
    let a = if transposed { a.t() } else { a };
    for x in stack.chunks_mut(ROWS.max(n) * n) {
        let (count, y) = (x.len() / n, &mut product[..x.len()]);
        machine.gemm(T::one(), Gemm::of(MatRef::of(x, count, n, n), a, MatMut::of(y, count, n, n)), T::zero());
        x.copy_from_slice(y);
    }
}

fn transpose<T: Scalar>(a: &[T], out: &mut [T], n: usize) {
    for i in 0..n {
        for j in 0..n {
            out[j * n + i] = a[i * n + j];
        }
    }
}

/// Σ x_i y_i, in eight sums side by side.
fn dot<T: Scalar>(x: &[T], y: &[T]) -> T {
    let mut sums = [T::zero(); 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: T = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| *x * *y).sum();
    for (x, y) in xs.zip(ys) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().copied().sum::<T>() + rest
}
