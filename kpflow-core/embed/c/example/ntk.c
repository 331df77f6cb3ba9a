/* The neural tangent kernel of an LSTM from C: sizes, memory, linearise, products, trace.
 *
 *   cargo build --release -p kpflow-c
 *   cc -Ikpflow-core/embed/c/include kpflow-core/embed/c/example/ntk.c target/release/libkpflow_c.a -lpthread -ldl -lm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kpflow.h"

enum { N_IN = 3, HIDDEN = 5, STEPS = 7, TRAJECTORIES = 6, ROWS = 4 * HIDDEN, VECTORS = 2 };

/* Ends the program with what a call says, unless it says ok. */
static void require(const char *call, kpflow_status status) {
    if (status != KPFLOW_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", call, kpflow_error_message(status));
        exit(1);
    }
}
#define REQUIRE(call) require(#call, call)

static kpflow_slice_mut_f64 allocate(size_t len) {
    kpflow_slice_mut_f64 slice = {malloc(len * sizeof(double)), len};
    if (slice.data == NULL) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return slice;
}

static kpflow_slice_f64 read_only(kpflow_slice_mut_f64 slice) {
    kpflow_slice_f64 view = {slice.data, slice.len};
    return view;
}

/* Normal numbers, those of one stream always the same. */
static kpflow_slice_mut_f64 normal(uint32_t stream, size_t len) {
    kpflow_slice_mut_f64 slice = allocate(len);
    REQUIRE(kpflow_probe_f64(1, stream, KPFLOW_DISTRIBUTION_GAUSSIAN, 0, 1, 1, 1, len, slice));
    return slice;
}

static double dot(kpflow_slice_mut_f64 x, kpflow_slice_mut_f64 y) {
    double sum = 0.0;
    for (size_t i = 0; i < x.len; i++) sum += x.data[i] * y.data[i];
    return sum;
}

static void print(const char *name, kpflow_slice_mut_f64 x) {
    printf("%s", name);
    for (size_t i = 0; i < x.len; i++) printf(" %.17g", x.data[i]);
    printf("\n");
}

static void require_equal(const char *what, double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)))) {
        fprintf(stderr, "%s: %.17g and %.17g\n", what, a, b);
        exit(1);
    }
}

int main(void) {
    kpflow_slice_mut_f64 w_ih = normal(1, ROWS * N_IN), w_hh = normal(2, ROWS * HIDDEN), b_ih = normal(3, ROWS);
    kpflow_model_f64 model = {.cell = KPFLOW_CELL_LSTM, .n_in = N_IN, .hidden = HIDDEN, .steps = STEPS,
                              .trajectories = TRAJECTORIES, .w_ih = read_only(w_ih), .w_hh = read_only(w_hh),
                              .b_ih = read_only(b_ih)};

    kpflow_sizes sizes;
    REQUIRE(kpflow_sizes_f64(&model, VECTORS, &sizes));
    kpflow_slice_mut_f64 inputs = normal(4, sizes.inputs), initial = normal(5, sizes.initial);
    kpflow_slice_mut_f64 arena = allocate(sizes.arena), running = allocate(sizes.linearize_scratch);
    REQUIRE(kpflow_linearize_f64(&model, read_only(inputs), read_only(initial), arena, running));
    free(running.data);

    kpflow_slice_mut_f64 state = allocate(sizes.state);
    REQUIRE(kpflow_state_f64(&model, read_only(arena), state));
    print("state", state);

    /* Two vectors at once, laid out [trajectory][vector][step][unit]. */
    kpflow_slice_mut_f64 x = allocate(VECTORS * sizes.state), y = allocate(x.len), back = allocate(x.len);
    kpflow_slice_mut_f64 scratch = allocate(sizes.apply_scratch);
    REQUIRE(kpflow_probe_f64(2, 0, KPFLOW_DISTRIBUTION_GAUSSIAN, 0, VECTORS, TRAJECTORIES, STEPS, sizes.units, x));
    const char *names[] = {"p", "p_transposed", "p_inverse", "p_inverse_transposed", "k", "ntk"};
    for (uint32_t op = KPFLOW_OPERATOR_P; op <= KPFLOW_OPERATOR_NTK; op++) {
        REQUIRE(kpflow_apply_f64(&model, read_only(arena), op, VECTORS, read_only(x), y, scratch));
        print(names[op], y);
    }

    /* What must hold: NTK is symmetric, P and P transposed are adjoint, P inverse undoes P. */
    kpflow_slice_mut_f64 u = normal(6, sizes.state), v = normal(7, sizes.state);
    kpflow_slice_mut_f64 au = allocate(sizes.state), av = allocate(sizes.state);
    const uint32_t pairs[][2] = {{KPFLOW_OPERATOR_NTK, KPFLOW_OPERATOR_NTK},
                                 {KPFLOW_OPERATOR_K, KPFLOW_OPERATOR_K},
                                 {KPFLOW_OPERATOR_P, KPFLOW_OPERATOR_P_TRANSPOSED},
                                 {KPFLOW_OPERATOR_P_INVERSE, KPFLOW_OPERATOR_P_INVERSE_TRANSPOSED}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        REQUIRE(kpflow_apply_f64(&model, read_only(arena), pairs[i][0], 1, read_only(u), au, scratch));
        REQUIRE(kpflow_apply_f64(&model, read_only(arena), pairs[i][1], 1, read_only(v), av, scratch));
        require_equal("<A u, v> = <u, A' v>", dot(au, v), dot(u, av));
    }
    REQUIRE(kpflow_apply_f64(&model, read_only(arena), KPFLOW_OPERATOR_P, VECTORS, read_only(x), y, scratch));
    REQUIRE(kpflow_apply_f64(&model, read_only(arena), KPFLOW_OPERATOR_P_INVERSE, VECTORS, read_only(y), back, scratch));
    require_equal("|x|^2", dot(x, x), dot(back, back));
    require_equal("<x, P^-1 P x>", dot(x, x), dot(x, back));

    kpflow_slice_mut_f64 work = allocate(sizes.trace_scratch);
    kpflow_trace trace;
    REQUIRE(kpflow_trace_f64(&model, read_only(arena), KPFLOW_OPERATOR_NTK, 3, 16, VECTORS, work, &trace));
    printf("trace %.17g %.17g\n", trace.value, trace.standard_error);
    printf("# kpflow %s: tr NTK = %g, standard error %g\n", kpflow_version(), trace.value, trace.standard_error);

    kpflow_slice_mut_f64 all[] = {w_ih, w_hh, b_ih, inputs, initial, arena, state, x, y, back, scratch, u, v, au, av, work};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i].data);
    return 0;
}
