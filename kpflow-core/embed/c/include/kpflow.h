/* kpflow-core for C. Made by cbindgen from src/: `cargo test -p kpflow-c` checks that it is current.
 *
 * A model is a struct that points to its weights, in PyTorch's layout. kpflow_sizes tells how many numbers every array has; the caller owns
 * all memory, nothing is allocated and nothing is kept between calls. kpflow_linearize runs the model and fills the arena, which products,
 * traces and the state are then read from. Calls that write to different memory may run at the same time.
 *
 * Every call returns a status. An error leaves the outputs as they were (scratch apart). What a call cannot see is the caller's promise: that
 * a slice points to as many numbers as it says, that nobody writes them meanwhile, and that an arena was filled for the model that it is used
 * with, else the numbers mean nothing. */

#ifndef KPFLOW_H
#define KPFLOW_H

#include <stddef.h>
#include <stdint.h>

// What a call returns.
typedef enum kpflow_status {
  // All went well.
  KPFLOW_STATUS_OK = 0,
  // A pointer is null that must not be.
  KPFLOW_STATUS_NULL = 1,
  // A pointer is not aligned for what it points to.
  KPFLOW_STATUS_ALIGNMENT = 2,
  // Memory that is written overlaps other memory of the same call.
  KPFLOW_STATUS_OVERLAP = 3,
  // A cell, activation, operator or distribution is none of those there are.
  KPFLOW_STATUS_CHOICE = 4,
  // A size is 0, or so large that its arrays fit no memory.
  KPFLOW_STATUS_SIZE = 5,
  // An array is shorter than needed, or not exactly as long where it must be.
  KPFLOW_STATUS_LENGTH = 6,
  // A coordinate of a probe is beyond what the generator has.
  KPFLOW_STATUS_PROBE = 7,
  // Something else that the core refused.
  KPFLOW_STATUS_REFUSED = 8,
  // A defect of the library: it panicked. What was to be written may be written in part.
  KPFLOW_STATUS_PANIC = 9,
} kpflow_status;

// A recurrent cell, in PyTorch's conventions.
typedef enum kpflow_cell {
  // h = activation(W_ih x + b_ih + W_hh h + b_hh); 1 gate, N = hidden.
  KPFLOW_CELL_RNN = 0,
  // 3 gates, N = hidden.
  KPFLOW_CELL_GRU = 1,
  // 4 gates, N = 2 hidden: h, then c.
  KPFLOW_CELL_LSTM = 2,
} kpflow_cell;

// The function of an RNN's cell.
typedef enum kpflow_activation {
  // tanh x.
  KPFLOW_ACTIVATION_TANH = 0,
  // max(x, 0).
  KPFLOW_ACTIVATION_RELU = 1,
  // x.
  KPFLOW_ACTIVATION_LINEAR = 2,
} kpflow_activation;

// An operator on states.
typedef enum kpflow_operator {
  // P, the propagator.
  KPFLOW_OPERATOR_P = 0,
  // Its transpose.
  KPFLOW_OPERATOR_P_TRANSPOSED = 1,
  // Its inverse.
  KPFLOW_OPERATOR_P_INVERSE = 2,
  // The transpose of its inverse.
  KPFLOW_OPERATOR_P_INVERSE_TRANSPOSED = 3,
  // K, the parameter operator.
  KPFLOW_OPERATOR_K = 4,
  // NTK = P K Pᵀ.
  KPFLOW_OPERATOR_NTK = 5,
} kpflow_operator;

// The distribution of a probe's numbers, of mean 0 and variance 1.
typedef enum kpflow_distribution {
  // ±1.
  KPFLOW_DISTRIBUTION_RADEMACHER = 0,
  // Standard normal.
  KPFLOW_DISTRIBUTION_GAUSSIAN = 1,
} kpflow_distribution;

// Numbers to read.
typedef struct kpflow_slice_f32 {
  // The first.
  const float *data;
  // How many.
  size_t len;
} kpflow_slice_f32;

// A recurrent layer and the size of what it runs on. All sizes are 1 or more.
typedef struct kpflow_model_f32 {
  // A `kpflow_cell`.
  uint32_t cell;
  // A `kpflow_activation`, of which only an RNN takes notice.
  uint32_t activation;
  // The numbers of an input.
  size_t n_in;
  // H, the hidden units.
  size_t hidden;
  // T, the steps of a trajectory.
  size_t steps;
  // B, the trajectories.
  size_t trajectories;
  // `[gates·H, n_in]`.
  struct kpflow_slice_f32 w_ih;
  // `[gates·H, H]`.
  struct kpflow_slice_f32 w_hh;
  // `[gates·H]`, or null and 0.
  struct kpflow_slice_f32 b_ih;
  // `[gates·H]`, or null and 0.
  struct kpflow_slice_f32 b_hh;
} kpflow_model_f32;

// How many numbers (not bytes) each array of a model has.
typedef struct kpflow_sizes {
  // N, the units of the state: hidden, for an LSTM twice that.
  size_t units;
  // One state vector `[B, T, N]`; a block of m vectors, `[B, m, T, N]`, has m times as many.
  size_t state;
  // Inputs, `[B, T, n_in]`.
  size_t inputs;
  // Initial state, `[B, N]`.
  size_t initial;
  // Trainable parameters.
  size_t parameters;
  // What linearising fills, to be kept: at least so many.
  size_t arena;
  // Scratch of linearising: at least so many.
  size_t linearize_scratch;
  // Scratch of a product, by any operator, with the block asked about: at least so many.
  size_t apply_scratch;
  // Scratch of a trace, by blocks as asked about: at least so many.
  size_t trace_scratch;
} kpflow_sizes;

// Numbers to write.
typedef struct kpflow_slice_mut_f32 {
  // The first.
  float *data;
  // How many.
  size_t len;
} kpflow_slice_mut_f32;

// An estimate of a trace.
typedef struct kpflow_trace {
  // The estimate.
  double value;
  // Its standard error; infinite with one probe.
  double standard_error;
} kpflow_trace;

// Numbers to read.
typedef struct kpflow_slice_f64 {
  // The first.
  const double *data;
  // How many.
  size_t len;
} kpflow_slice_f64;

// A recurrent layer and the size of what it runs on. All sizes are 1 or more.
typedef struct kpflow_model_f64 {
  // A `kpflow_cell`.
  uint32_t cell;
  // A `kpflow_activation`, of which only an RNN takes notice.
  uint32_t activation;
  // The numbers of an input.
  size_t n_in;
  // H, the hidden units.
  size_t hidden;
  // T, the steps of a trajectory.
  size_t steps;
  // B, the trajectories.
  size_t trajectories;
  // `[gates·H, n_in]`.
  struct kpflow_slice_f64 w_ih;
  // `[gates·H, H]`.
  struct kpflow_slice_f64 w_hh;
  // `[gates·H]`, or null and 0.
  struct kpflow_slice_f64 b_ih;
  // `[gates·H]`, or null and 0.
  struct kpflow_slice_f64 b_hh;
} kpflow_model_f64;

// Numbers to write.
typedef struct kpflow_slice_mut_f64 {
  // The first.
  double *data;
  // How many.
  size_t len;
} kpflow_slice_mut_f64;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the version of the library, as in "0.1.0".
const char *kpflow_version(void);

// Returns what a status means, one line of English; never null, whatever the code.
const char *kpflow_error_message(int32_t code);

// Tells how many numbers each array of `model` has, for products with blocks of `vectors` vectors.
//
// # Safety
// `model` and `out` are null or point to what they say, and the model's slices to as many numbers as they say.
enum kpflow_status kpflow_sizes_f32(const struct kpflow_model_f32 *model, size_t vectors, struct kpflow_sizes *out);

// Runs the model on `inputs` `[B, T, n_in]` from `initial` `[B, N]` (null and 0: zeros) and linearises it: fills `arena`.
//
// `scratch` is free again afterwards; the arena is to be kept as long as products are asked of it.
//
// # Safety
// As for the sizes; every slice points to as many numbers as it says, and nobody else writes them meanwhile.
enum kpflow_status kpflow_linearize_f32(const struct kpflow_model_f32 *model,
                                        struct kpflow_slice_f32 inputs,
                                        struct kpflow_slice_f32 initial,
                                        struct kpflow_slice_mut_f32 arena,
                                        struct kpflow_slice_mut_f32 scratch);

// Writes the state z, `[B, T, N]`, of a linearised model.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_state_f32(const struct kpflow_model_f32 *model,
                                    struct kpflow_slice_f32 arena,
                                    struct kpflow_slice_mut_f32 out);

// Computes `y = A x` for a block of `vectors` vectors, `[B, vectors, T, N]`. `op` is a `kpflow_operator`.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_apply_f32(const struct kpflow_model_f32 *model,
                                    struct kpflow_slice_f32 arena,
                                    uint32_t op,
                                    size_t vectors,
                                    struct kpflow_slice_f32 x,
                                    struct kpflow_slice_mut_f32 y,
                                    struct kpflow_slice_mut_f32 scratch);

// Estimates the trace of an operator from `probes` products with random signs (Hutchinson 1990), `vectors` at a time.
//
// The probes are those of `kpflow_probe` with this seed and stream 0, from vector 0 on.
//
// # Safety
// As for linearising; `out` is null or points to a `kpflow_trace`.
enum kpflow_status kpflow_trace_f32(const struct kpflow_model_f32 *model,
                                    struct kpflow_slice_f32 arena,
                                    uint32_t op,
                                    uint64_t seed,
                                    size_t probes,
                                    size_t vectors,
                                    struct kpflow_slice_mut_f32 scratch,
                                    struct kpflow_trace *out);

// Fills `out`, `[trajectories, vectors, steps, units]`, with the vectors `first_vector ..` of a family of random vectors.
//
// `distribution` is a `kpflow_distribution`. Every number depends on seed, stream (below 256) and its coordinates alone.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_probe_f32(uint64_t seed,
                                    uint32_t stream,
                                    uint32_t distribution,
                                    size_t first_vector,
                                    size_t vectors,
                                    size_t trajectories,
                                    size_t steps,
                                    size_t units,
                                    struct kpflow_slice_mut_f32 out);

// Tells how many numbers each array of `model` has, for products with blocks of `vectors` vectors.
//
// # Safety
// `model` and `out` are null or point to what they say, and the model's slices to as many numbers as they say.
enum kpflow_status kpflow_sizes_f64(const struct kpflow_model_f64 *model, size_t vectors, struct kpflow_sizes *out);

// Runs the model on `inputs` `[B, T, n_in]` from `initial` `[B, N]` (null and 0: zeros) and linearises it: fills `arena`.
//
// `scratch` is free again afterwards; the arena is to be kept as long as products are asked of it.
//
// # Safety
// As for the sizes; every slice points to as many numbers as it says, and nobody else writes them meanwhile.
enum kpflow_status kpflow_linearize_f64(const struct kpflow_model_f64 *model,
                                        struct kpflow_slice_f64 inputs,
                                        struct kpflow_slice_f64 initial,
                                        struct kpflow_slice_mut_f64 arena,
                                        struct kpflow_slice_mut_f64 scratch);

// Writes the state z, `[B, T, N]`, of a linearised model.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_state_f64(const struct kpflow_model_f64 *model,
                                    struct kpflow_slice_f64 arena,
                                    struct kpflow_slice_mut_f64 out);

// Computes `y = A x` for a block of `vectors` vectors, `[B, vectors, T, N]`. `op` is a `kpflow_operator`.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_apply_f64(const struct kpflow_model_f64 *model,
                                    struct kpflow_slice_f64 arena,
                                    uint32_t op,
                                    size_t vectors,
                                    struct kpflow_slice_f64 x,
                                    struct kpflow_slice_mut_f64 y,
                                    struct kpflow_slice_mut_f64 scratch);

// Estimates the trace of an operator from `probes` products with random signs (Hutchinson 1990), `vectors` at a time.
//
// The probes are those of `kpflow_probe` with this seed and stream 0, from vector 0 on.
//
// # Safety
// As for linearising; `out` is null or points to a `kpflow_trace`.
enum kpflow_status kpflow_trace_f64(const struct kpflow_model_f64 *model,
                                    struct kpflow_slice_f64 arena,
                                    uint32_t op,
                                    uint64_t seed,
                                    size_t probes,
                                    size_t vectors,
                                    struct kpflow_slice_mut_f64 scratch,
                                    struct kpflow_trace *out);

// Fills `out`, `[trajectories, vectors, steps, units]`, with the vectors `first_vector ..` of a family of random vectors.
//
// `distribution` is a `kpflow_distribution`. Every number depends on seed, stream (below 256) and its coordinates alone.
//
// # Safety
// As for linearising.
enum kpflow_status kpflow_probe_f64(uint64_t seed,
                                    uint32_t stream,
                                    uint32_t distribution,
                                    size_t first_vector,
                                    size_t vectors,
                                    size_t trajectories,
                                    size_t steps,
                                    size_t units,
                                    struct kpflow_slice_mut_f64 out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KPFLOW_H */
