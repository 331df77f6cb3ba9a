//! The calls, for both precisions. tests/header.rs writes them out for cbindgen, which does not look into macros.

use crate::call::{self, status};
use crate::types::{Model, Sizes, Slice, SliceMut, Status, Trace};

macro_rules! calls {
    ($t:ident, $sizes:ident, $linearize:ident, $state:ident, $apply:ident, $trace:ident, $probe:ident) => {
        /// Tells how many numbers each array of `model` has, for products with blocks of `vectors` vectors.
        ///
        /// # Safety
        /// `model` and `out` are null or point to what they say, and the model's slices to as many numbers as they say.
        #[no_mangle]
        pub unsafe extern "C" fn $sizes(model: *const Model<$t>, vectors: usize, out: *mut Sizes) -> Status {
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
        pub unsafe extern "C" fn $linearize(
            model: *const Model<$t>,
            inputs: Slice<$t>,
            initial: Slice<$t>,
            arena: SliceMut<$t>,
            scratch: SliceMut<$t>,
        ) -> Status {
            // SAFETY: the caller's promise.
            status(|| unsafe { call::linearize(model, inputs, initial, arena, scratch) })
        }

        /// Writes the state z, `[B, T, N]`, of a linearised model.
        ///
        /// # Safety
        /// As for linearising.
        #[no_mangle]
        pub unsafe extern "C" fn $state(model: *const Model<$t>, arena: Slice<$t>, out: SliceMut<$t>) -> Status {
            // SAFETY: the caller's promise.
            status(|| unsafe { call::state(model, arena, out) })
        }

        /// Computes `y = A x` for a block of `vectors` vectors, `[B, vectors, T, N]`. `op` is a `kpflow_operator`.
        ///
        /// # Safety
        /// As for linearising.
        #[no_mangle]
        pub unsafe extern "C" fn $apply(
            model: *const Model<$t>,
            arena: Slice<$t>,
            op: u32,
            vectors: usize,
            x: Slice<$t>,
            y: SliceMut<$t>,
            scratch: SliceMut<$t>,
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
        pub unsafe extern "C" fn $trace(
            model: *const Model<$t>,
            arena: Slice<$t>,
            op: u32,
            seed: u64,
            probes: usize,
            vectors: usize,
            scratch: SliceMut<$t>,
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
        pub unsafe extern "C" fn $probe(
            seed: u64,
            stream: u32,
            distribution: u32,
            first_vector: usize,
            vectors: usize,
            trajectories: usize,
            steps: usize,
            units: usize,
            out: SliceMut<$t>,
        ) -> Status {
            // SAFETY: the caller's promise.
            status(|| unsafe {
                call::fill(seed, stream, distribution, first_vector, [vectors, trajectories, steps, units], out)
            })
        }
    };
}

calls!(
    f32,
    kpflow_sizes_f32,
    kpflow_linearize_f32,
    kpflow_state_f32,
    kpflow_apply_f32,
    kpflow_trace_f32,
    kpflow_probe_f32
);
calls!(
    f64,
    kpflow_sizes_f64,
    kpflow_linearize_f64,
    kpflow_state_f64,
    kpflow_apply_f64,
    kpflow_trace_f64,
    kpflow_probe_f64
);
