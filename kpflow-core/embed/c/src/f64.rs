//! The calls for `f64`.

use crate::call::{self, status};
use crate::types::{Model, Sizes, Slice, SliceMut, Status, Trace};

/// Tells how many numbers each array of `model` has, for products with blocks of `vectors` vectors.
///
/// # Safety
/// `model` and `out` are null or point to what they say, and the model's slices to as many numbers as they say.
#[no_mangle]
pub unsafe extern "C" fn kpflow_sizes_f64(model: *const Model<f64>, vectors: usize, out: *mut Sizes) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe { call::sizes(model, vectors, out) })
}

/// Runs the model on `inputs` `[B, T, n_in]` from `initial` `[B, N]` (null and 0: zeros) and linearises it: fills `arena`.
///
/// `scratch` is free again afterwards; the arena is to be kept as long as products are asked of it.
///
/// # Safety
/// As for the sizes; every slice points to as many numbers as it says, and nobody else writes them meanwhile.
#[no_mangle]
pub unsafe extern "C" fn kpflow_linearize_f64(
    model: *const Model<f64>,
    inputs: Slice<f64>,
    initial: Slice<f64>,
    arena: SliceMut<f64>,
    scratch: SliceMut<f64>,
) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe { call::linearize(model, inputs, initial, arena, scratch) })
}

/// Writes the state z, `[B, T, N]`, of a linearised model.
///
/// # Safety
/// As for linearising.
#[no_mangle]
pub unsafe extern "C" fn kpflow_state_f64(model: *const Model<f64>, arena: Slice<f64>, out: SliceMut<f64>) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe { call::state(model, arena, out) })
}

/// Computes `y = A x` for a block of `vectors` vectors, `[B, vectors, T, N]`. `op` is a `kpflow_operator`.
///
/// # Safety
/// As for linearising.
#[no_mangle]
pub unsafe extern "C" fn kpflow_apply_f64(
    model: *const Model<f64>,
    arena: Slice<f64>,
    op: u32,
    vectors: usize,
    x: Slice<f64>,
    y: SliceMut<f64>,
    scratch: SliceMut<f64>,
) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe { call::apply(model, arena, op, vectors, x, y, scratch) })
}

/// Estimates the trace of an operator from `probes` products with random signs (Hutchinson 1990), `vectors` at a time.
///
/// The probes are those of `kpflow_probe` with this seed and stream 0, from vector 0 on.
///
/// # Safety
/// As for linearising; `out` is null or points to a `kpflow_trace`.
#[no_mangle]
pub unsafe extern "C" fn kpflow_trace_f64(
    model: *const Model<f64>,
    arena: Slice<f64>,
    op: u32,
    seed: u64,
    probes: usize,
    vectors: usize,
    scratch: SliceMut<f64>,
    out: *mut Trace,
) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe { call::trace(model, arena, op, seed, probes, vectors, scratch, out) })
}

/// Fills `out`, `[trajectories, vectors, steps, units]`, with the vectors `first_vector ..` of a family of random vectors.
///
/// `distribution` is a `kpflow_distribution`. Every number depends on seed, stream (below 256) and its coordinates alone.
///
/// # Safety
/// As for linearising.
#[no_mangle]
pub unsafe extern "C" fn kpflow_probe_f64(
    seed: u64,
    stream: u32,
    distribution: u32,
    first_vector: usize,
    vectors: usize,
    trajectories: usize,
    steps: usize,
    units: usize,
    out: SliceMut<f64>,
) -> Status {
    // SAFETY: the caller's promise.
    status(|| unsafe {
        call::fill(seed, stream, distribution, first_vector, [vectors, trajectories, steps, units], out)
    })
}
