//! Exact traces of recurrent models from their observability Gramians.

use super::features::Features;
use crate::error::{enough, length};
use crate::machine::{Gemm, Machine, MatMut, MatRef};
use crate::model::Linearization;
use crate::{Error, Scalar};
use core::ops::Range;

/// Exact traces of one trajectory's diagonal blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GramianTraces {
    /// tr NTK_bb.
    pub ntk: f64,
    /// tr (P Pᵀ)_bb.
    pub propagator_gram: f64,
}

/// Rows of the stack of X(t, s) that are multiplied at a time.
const ROWS: usize = 256;

/// Steps that are gone back before the stack is multiplied on: about √T, at which all products together are fewest.
fn stride(steps: usize) -> usize {
    (1..).find(|k| k * k >= steps).unwrap_or(1)
}

fn lane_len<T: Scalar>(lin: &Linearization<'_, T>) -> usize {
    let (steps, n) = (lin.shape().steps, lin.shape().units);
    let square = n.saturating_mul(n);
    let squares = steps.saturating_add(3).saturating_mul(square).saturating_add(ROWS.max(n).saturating_mul(n));
    squares.saturating_add(n).saturating_add(lin.graph().step_len())
}

/// Flops of [`gramian_traces`] for one trajectory.
pub fn gramian_flops<T: Scalar>(lin: &Linearization<'_, T>) -> f64 {
    let (steps, n) = (lin.shape().steps as f64, lin.shape().units as f64);
    let stride = stride(lin.shape().steps) as f64;
    steps * n * n * n * (steps / stride + stride + 8.0) + steps * steps * n * n
}

/// The numbers of scratch that [`gramian_traces`] needs for a group of `trajectories`, and of work that goes on at the same time.
pub fn gramian_scratch_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    machine.lanes().max(1).saturating_mul(lane_len(lin))
}

/// Computes the exact trace of NTK and of P Pᵀ of some trajectories, one by one.
///
/// With A_t = ∂z_t/∂z_{t−1}, Φ(t,s) = A_t … A_{s+1} and the observability Gramians N_t = I + A_{t+1}ᵀ N_{t+1} A_{t+1},
/// `tr NTK_bb = Σ_sites Σ_{s≤t} (2 − [s=t]) G[t,s] tr(D_tᵀ N_t Φ(t,s) D_s)` and `tr (P Pᵀ)_bb = Σ_t tr N_t`.
///
/// **Shapes**: `features` are the rows of [`Features::write`], `out` has 2 numbers for each of the `trajectories` (NTK, P Pᵀ).
/// Only diagonals of X(t, s) = N_t Φ(t, s) count, and with X(t, s) = X(t, m) Φ(m, s) they are N dot products: the X are multiplied on only
/// every √T steps. **Cost**: about 2·T^(3/2)·N³ flops a trajectory, as products of up to 256 rows; T·N² numbers of scratch a lane. No
/// randomness.
/// **Errors**: returns `false`, having done nothing, unless the model is one recurrence in which the state is read only at the step before.
///
/// Otherwise an error if a buffer is too short.
pub fn gramian_traces<T: Scalar, M: Machine<T>>(
    features: &Features<'_, T>,
    rows: &[T],
    trajectories: Range<usize>,
    machine: &M,
    out: &mut [T],
    scratch: &mut [T],
) -> Result<bool, Error> {
    let lin = features.linearization();
    if !lin.graph().is_single_recurrence() {
        return Ok(false);
    }
    let (lane, all) = (lane_len(lin), lin.shape().trajectories);
    lin.require_values()?;
    enough(gramian_scratch_len(lin, machine), scratch.len())?;
    length(trajectories.end.min(all).saturating_sub(trajectories.start).saturating_mul(2), out.len())?;
    length(all.saturating_mul(lin.shape().steps).saturating_mul(features.row_len()), rows.len())?;
    let per = lin.shape().steps * features.row_len();
    machine.for_each_in_turn(out.len() / 2, out, 2, scratch, lane, |i, scratch, out| {
        let b = trajectories.start + i;
        let traces = trajectory(features, &rows[b * per..][..per], machine, b, scratch);
        out[0] = T::of(traces.ntk);
        out[1] = T::of(traces.propagator_gram);
    });
    Ok(true)
}

fn trajectory<T: Scalar, M: Machine<T>>(
    features: &Features<'_, T>,
    rows: &[T],
    machine: &M,
    b: usize,
    scratch: &mut [T],
) -> GramianTraces {
    let lin = features.linearization();
    let (steps, n) = (lin.shape().steps, lin.shape().units);
    let square = n * n;
    let (stack, rest) = scratch.split_at_mut(steps * square);
    let (product, rest) = rest.split_at_mut(ROWS.max(n) * n);
    let (a, rest) = rest.split_at_mut(square);
    let (gramian, rest) = rest.split_at_mut(square);
    let (phi, rest) = rest.split_at_mut(square);
    let (e, work) = rest.split_at_mut(n);
    let row = |t: usize| &rows[t * features.row_len()..][..features.row_len()];
    let mut traces = GramianTraces::default();
    // The stack holds X(t, m) of t ≥ m and X(t, s) of m > t ≥ s, the latest t first; `phi` holds Φ(m, s)ᵀ.
    let mut m = steps;
    for s in (0..steps).rev() {
        if s + 1 < steps {
            lin.write_step_jacobian(b, s + 1, a, work, machine);
            // Φ(m, s)ᵀ = A_{s+1}ᵀ Φ(m, s+1)ᵀ.
            if s + 1 == m {
                transpose(a, phi, n);
            } else if m < steps {
                let next = MatMut::of(&mut product[..square], n, n, n);
                machine.gemm(T::one(), Gemm::of(matrix(a, n).t(), matrix(phi, n), next), T::zero());
                phi.copy_from_slice(&product[..square]);
            }
            // N_s = I + A_{s+1}ᵀ N_{s+1} A_{s+1}; N_{s+1} is still there.
            machine.gemm(
                T::one(),
                Gemm::of(matrix(gramian, n), matrix(a, n), MatMut::of(&mut product[..square], n, n, n)),
                T::zero(),
            );
            let next = MatMut::of(gramian, n, n, n);
            machine.gemm(T::one(), Gemm::of(matrix(a, n).t(), matrix(&product[..square], n), next), T::zero());
            multiply(&mut stack[(steps - m) * square..(steps - 1 - s) * square], a, false, n, product, machine);
        } else {
            gramian.fill(T::zero());
        }
        for i in 0..n {
            gramian[i * n + i] += T::one();
            traces.propagator_gram += gramian[i * n + i].f64();
        }
        stack[(steps - 1 - s) * square..][..square].copy_from_slice(gramian);
        for t in s..steps {
            let x = &stack[(steps - 1 - t) * square..][..square];
            let twice = if t == s { 1.0 } else { 2.0 };
            features.diagonals(row(t), row(s), e, |ua, ub, e| {
                let entry = |i: usize| match t < m {
                    true => x[(ua + i) * n + ub + i],
                    false => dot(&x[(ua + i) * n..][..n], &phi[(ub + i) * n..][..n]),
                };
                traces.ntk += twice * e.iter().enumerate().map(|(i, e)| (*e * entry(i)).f64()).sum::<f64>();
            });
        }
        if m - s >= stride(steps) && s > 0 {
            multiply(&mut stack[..(steps - m) * square], phi, true, n, product, machine);
            m = s;
        }
    }
    traces
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
