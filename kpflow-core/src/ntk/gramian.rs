//! Exact traces of recurrent models from their observability Gramians.

use super::features::Features;
use crate::machine::{Machine, MatMut, MatRef};
use crate::model::Linearization;
use crate::Scalar;

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

fn lane_len<T: Scalar>(lin: &Linearization<'_, T>) -> usize {
    let (steps, n) = (lin.shape().steps, lin.shape().units);
    steps * n * n + ROWS.max(n) * n + 2 * n * n + lin.graph().step_len()
}

/// The numbers of scratch that [`gramian_traces`] needs for a group of `trajectories`, and of work that goes on at the same time.
pub fn gramian_scratch_len<T: Scalar, M: Machine<T>>(lin: &Linearization<'_, T>, machine: &M) -> usize {
    machine.lanes() * lane_len(lin)
}

/// Computes the exact trace of NTK and of P Pᵀ, trajectory by trajectory.
///
/// With A_t = ∂z_t/∂z_{t−1}, Φ(t,s) = A_t … A_{s+1} and the observability Gramians N_t = I + A_{t+1}ᵀ N_{t+1} A_{t+1},
/// `tr NTK_bb = Σ_sites Σ_{s≤t} (2 − [s=t]) G[t,s] tr(D_tᵀ N_t Φ(t,s) D_s)` and `tr (P Pᵀ)_bb = Σ_t tr N_t`.
///
/// **Shapes**: `features` are the rows of [`Features::write`], `out` has 2 numbers for each trajectory (NTK, P Pᵀ).
/// **Cost**: T²·N³ + O(T N³) flops a trajectory, as products of up to 256 rows; T·N² numbers of scratch a lane. No randomness.
/// **Errors**: returns `false`, having done nothing, unless the model is one recurrence in which the state is read only at the step before.
///
/// # Panics
/// If a buffer is too short.
pub fn gramian_traces<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    features: &Features<'_, T>,
    rows: &[T],
    machine: &M,
    out: &mut [T],
    scratch: &mut [T],
) -> bool {
    if !lin.graph().is_single_recurrence() {
        return false;
    }
    let (lane, trajectories) = (lane_len(lin), lin.shape().trajectories);
    assert!(scratch.len() >= gramian_scratch_len(lin, machine), "the Gramians need more scratch");
    assert!(out.len() == 2 * trajectories && rows.len() == features.rows() * features.row_len());
    let per = lin.shape().steps * features.row_len();
    for first in (0..trajectories).step_by(machine.lanes()) {
        let count = machine.lanes().min(trajectories - first);
        let out = &mut out[2 * first..2 * (first + count)];
        machine.for_each(count, scratch, lane, out, 2, |i, scratch, out| {
            let b = first + i;
            let traces = trajectory(lin, features, &rows[b * per..][..per], machine, b, scratch);
            out[0] = T::of(traces.ntk);
            out[1] = T::of(traces.propagator_gram);
        });
    }
    true
}

fn trajectory<T: Scalar, M: Machine<T>>(
    lin: &Linearization<'_, T>,
    features: &Features<'_, T>,
    rows: &[T],
    machine: &M,
    b: usize,
    scratch: &mut [T],
) -> GramianTraces {
    let (steps, n) = (lin.shape().steps, lin.shape().units);
    let square = n * n;
    let (stack, rest) = scratch.split_at_mut(steps * square);
    let (product, rest) = rest.split_at_mut(ROWS.max(n) * n);
    let (a, rest) = rest.split_at_mut(square);
    let (gramian, work) = rest.split_at_mut(square);
    let row = |t: usize| &rows[t * features.row_len()..][..features.row_len()];
    let mut traces = GramianTraces::default();
    for s in (0..steps).rev() {
        // The stack holds X(t, s) = N_t Φ(t, s) for all t > s, the latest t first; going one step back is one product by A_{s+1}.
        let filled = (steps - 1 - s) * n;
        if filled > 0 {
            lin.step_jacobian(b, s + 1, a, work, machine);
            for first in (0..filled).step_by(ROWS.max(n)) {
                let count = ROWS.max(n).min(filled - first);
                let x = &mut stack[first * n..(first + count) * n];
                let y = &mut product[..count * n];
                let x_ref = MatRef::new(x, count, n, n);
                machine.gemm(T::one(), x_ref, MatRef::new(a, n, n, n), T::zero(), MatMut::new(y, count, n, n));
                x.copy_from_slice(y);
            }
            // X(s+1, s) = N_{s+1} A_{s+1} has just been made: N_s = I + A_{s+1}ᵀ X(s+1, s).
            let x = MatRef::new(&stack[(filled - n) * n..], n, n, n);
            let at = MatRef::new(a, n, n, n).t();
            machine.gemm(T::one(), at, x, T::zero(), MatMut::new(gramian, n, n, n));
        } else {
            gramian.fill(T::zero());
        }
        for i in 0..n {
            gramian[i * n + i] += T::one();
            traces.propagator_gram += gramian[i * n + i].f64();
        }
        stack[filled * n..(filled + n) * n].copy_from_slice(gramian);
        for t in s..steps {
            let x = &stack[(steps - 1 - t) * square..][..square];
            let twice = if t == s { 1.0 } else { 2.0 };
            traces.ntk += twice * sandwich(features, row(t), row(s), x, n);
        }
    }
    traces
}

/// Σ_sites G[t,s] tr(D_tᵀ X D_s), of which only diagonals of X count.
fn sandwich<T: Scalar>(features: &Features<'_, T>, p: &[T], q: &[T], x: &[T], n: usize) -> f64 {
    let mut sum = 0.0;
    let (mut site, mut g) = (usize::MAX, 0.0);
    for a in features.bands() {
        if a.site != site {
            (site, g) = (a.site, features.gram(a.site, p, q).f64());
        }
        for b in features.bands().filter(|b| b.site == a.site && b.channel == a.channel) {
            let part: f64 =
                (0..a.width).map(|i| (p[a.place + i] * x[(a.unit + i) * n + b.unit + i] * q[b.place + i]).f64()).sum();
            sum += g * part;
        }
    }
    sum
}
