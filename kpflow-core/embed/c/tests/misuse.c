/* Whatever is wrong with a call's arguments has its status, in f32; and what is right is ok with arrays of exactly the sizes told. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kpflow.h"

enum { N_IN = 2, HIDDEN = 4, STEPS = 3, TRAJECTORIES = 2, MOST = 100000 };

static int failures = 0, calls = 0;

static void expect(const char *call, int line, kpflow_status found, kpflow_status status) {
    calls++;
    if (found != status) {
        printf("line %d: %s is %d (%s), not %d\n", line, call, found, kpflow_error_message(found), status);
        failures++;
    }
}
#define EXPECT(status, call) expect(#call, __LINE__, call, KPFLOW_STATUS_##status)

static float numbers[3 * HIDDEN * HIDDEN], arena[MOST], scratch[MOST], x[MOST], y[MOST];

static kpflow_slice_f32 in(const float *data, size_t len) {
    kpflow_slice_f32 slice = {data, len};
    return slice;
}
static kpflow_slice_mut_f32 out(float *data, size_t len) {
    kpflow_slice_mut_f32 slice = {data, len};
    return slice;
}

int main(void) {
    kpflow_slice_f32 none = in(NULL, 0);
    const size_t huge = SIZE_MAX / 2, rows = 3 * HIDDEN;
    EXPECT(OK, kpflow_probe_f32(0, 0, KPFLOW_DISTRIBUTION_GAUSSIAN, 0, 1, 1, 1, 3 * HIDDEN * HIDDEN, out(numbers, 3 * HIDDEN * HIDDEN)));
    const kpflow_model_f32 good = {.cell = KPFLOW_CELL_GRU, .n_in = N_IN, .hidden = HIDDEN, .steps = STEPS, .trajectories = TRAJECTORIES,
                                   .w_ih = in(numbers, rows * N_IN), .w_hh = in(numbers, rows * HIDDEN), .b_hh = in(numbers, rows)};
    kpflow_model_f32 bad = good;
    kpflow_sizes sizes, untouched;

    /* The model, as any call reads it. */
    EXPECT(OK, kpflow_sizes_f32(&good, 2, &sizes));
    memset(&untouched, 7, sizeof untouched);
    kpflow_sizes before = untouched;
    EXPECT(NULL, kpflow_sizes_f32(NULL, 2, &untouched));
    EXPECT(NULL, kpflow_sizes_f32(&good, 2, NULL));
    EXPECT(ALIGNMENT, kpflow_sizes_f32((const kpflow_model_f32 *)((const char *)&good + 1), 2, &untouched));
    EXPECT(SIZE, kpflow_sizes_f32(&good, 0, &untouched));
    EXPECT(SIZE, kpflow_sizes_f32(&good, huge, &untouched));
#define BAD(status, field, value)                                \
    bad = good;                                                  \
    bad.field = value;                                           \
    expect(#field " = " #value, __LINE__, kpflow_sizes_f32(&bad, 2, &untouched), KPFLOW_STATUS_##status);       \
    expect(#field " = " #value, __LINE__,                                                                      \
           kpflow_linearize_f32(&bad, in(x, sizes.inputs), none, out(arena, MOST), out(scratch, MOST)), KPFLOW_STATUS_##status)
    BAD(CHOICE, cell, 3);
    BAD(CHOICE, cell, UINT32_MAX);
    BAD(CHOICE, activation, 3);
    BAD(SIZE, n_in, 0);
    BAD(SIZE, n_in, huge);
    BAD(SIZE, hidden, 0);
    BAD(SIZE, hidden, huge);
    BAD(SIZE, hidden, SIZE_MAX);
    BAD(SIZE, steps, 0);
    BAD(SIZE, steps, huge);
    BAD(SIZE, trajectories, 0);
    BAD(SIZE, trajectories, huge);
    BAD(LENGTH, hidden, HIDDEN + 1);
    BAD(LENGTH, n_in, N_IN + 1);
    BAD(LENGTH, cell, KPFLOW_CELL_LSTM);
    BAD(NULL, w_ih.data, NULL);
    BAD(NULL, w_hh.data, NULL);
    BAD(NULL, w_hh, none);
    BAD(NULL, b_hh.data, NULL);
    BAD(LENGTH, w_ih.len, rows * N_IN - 1);
    BAD(LENGTH, w_hh.len, rows * HIDDEN + 1);
    BAD(LENGTH, w_hh.len, huge);
    BAD(LENGTH, b_hh.len, 0);
    BAD(LENGTH, b_ih, in(numbers, rows + 1));
    BAD(ALIGNMENT, w_ih.data, (const float *)((const char *)numbers + 2));
    EXPECT(OK, memcmp(&before, &untouched, sizeof before) == 0 ? KPFLOW_STATUS_OK : KPFLOW_STATUS_PANIC);

    /* Linearising. */
    kpflow_slice_f32 inputs = in(x, sizes.inputs), initial = in(y, sizes.initial);
    kpflow_slice_mut_f32 keep = out(arena, sizes.arena), work = out(scratch, sizes.linearize_scratch);
    EXPECT(NULL, kpflow_linearize_f32(&good, none, initial, keep, work));
    EXPECT(LENGTH, kpflow_linearize_f32(&good, in(x, sizes.inputs - 1), initial, keep, work));
    EXPECT(LENGTH, kpflow_linearize_f32(&good, in(x, sizes.inputs + 1), initial, keep, work));
    EXPECT(NULL, kpflow_linearize_f32(&good, inputs, in(NULL, sizes.initial), keep, work));
    EXPECT(LENGTH, kpflow_linearize_f32(&good, inputs, in(y, sizes.initial - 1), keep, work));
    EXPECT(LENGTH, kpflow_linearize_f32(&good, inputs, initial, out(arena, sizes.arena - 1), work));
    EXPECT(LENGTH, kpflow_linearize_f32(&good, inputs, initial, keep, out(scratch, sizes.linearize_scratch - 1)));
    EXPECT(NULL, kpflow_linearize_f32(&good, inputs, initial, out(NULL, sizes.arena), work));
    EXPECT(NULL, kpflow_linearize_f32(&good, inputs, initial, keep, out(NULL, 0)));
    EXPECT(OVERLAP, kpflow_linearize_f32(&good, inputs, initial, keep, out(arena + sizes.arena - 1, sizes.linearize_scratch)));
    EXPECT(OVERLAP, kpflow_linearize_f32(&good, inputs, initial, out(x, sizes.arena), work));
    EXPECT(OVERLAP, kpflow_linearize_f32(&good, inputs, initial, out(numbers, sizes.arena), work));
    EXPECT(OK, kpflow_linearize_f32(&good, inputs, none, keep, work));
    EXPECT(OK, kpflow_linearize_f32(&good, inputs, initial, keep, work));

    /* Products. */
    const size_t len = 2 * sizes.state;
    kpflow_slice_f32 run = in(arena, sizes.arena), from = in(x, len);
    kpflow_slice_mut_f32 to = out(y, len);
    work = out(scratch, sizes.apply_scratch);
    for (uint32_t op = KPFLOW_OPERATOR_P; op <= KPFLOW_OPERATOR_NTK; op++) EXPECT(OK, kpflow_apply_f32(&good, run, op, 2, from, to, work));
    const uint32_t ntk = KPFLOW_OPERATOR_NTK;
    EXPECT(CHOICE, kpflow_apply_f32(&good, run, ntk + 1, 2, from, to, work));
    EXPECT(SIZE, kpflow_apply_f32(&good, run, ntk, 0, in(x, 0), out(y, 0), work));
    EXPECT(SIZE, kpflow_apply_f32(&good, run, ntk, huge, from, to, work));
    EXPECT(NULL, kpflow_apply_f32(NULL, run, ntk, 2, from, to, work));
    EXPECT(NULL, kpflow_apply_f32(&good, in(NULL, sizes.arena), ntk, 2, from, to, work));
    EXPECT(LENGTH, kpflow_apply_f32(&good, in(arena, sizes.arena - 1), ntk, 2, from, to, work));
    EXPECT(NULL, kpflow_apply_f32(&good, run, ntk, 2, in(NULL, len), to, work));
    EXPECT(NULL, kpflow_apply_f32(&good, run, ntk, 2, from, out(NULL, len), work));
    EXPECT(NULL, kpflow_apply_f32(&good, run, ntk, 2, from, to, out(NULL, sizes.apply_scratch)));
    EXPECT(LENGTH, kpflow_apply_f32(&good, run, ntk, 2, in(x, len - 1), to, work));
    EXPECT(LENGTH, kpflow_apply_f32(&good, run, ntk, 2, from, out(y, len + 1), work));
    EXPECT(LENGTH, kpflow_apply_f32(&good, run, ntk, 3, from, to, work));
    EXPECT(LENGTH, kpflow_apply_f32(&good, run, ntk, 2, from, to, out(scratch, sizes.apply_scratch - 1)));
    EXPECT(OVERLAP, kpflow_apply_f32(&good, run, ntk, 2, from, out(x, len), work));
    EXPECT(OVERLAP, kpflow_apply_f32(&good, run, ntk, 2, from, to, out(y + len - 1, sizes.apply_scratch)));
    EXPECT(OVERLAP, kpflow_apply_f32(&good, run, ntk, 2, from, out(arena, len), work));
    EXPECT(ALIGNMENT, kpflow_apply_f32(&good, run, ntk, 2, from, out((float *)((char *)y + 1), len), work));

    /* The state. */
    EXPECT(OK, kpflow_state_f32(&good, run, out(y, sizes.state)));
    EXPECT(LENGTH, kpflow_state_f32(&good, run, out(y, sizes.state - 1)));
    EXPECT(NULL, kpflow_state_f32(&good, run, out(NULL, sizes.state)));
    EXPECT(OVERLAP, kpflow_state_f32(&good, run, out(arena, sizes.state)));

    /* Traces. */
    kpflow_trace trace;
    work = out(scratch, sizes.trace_scratch);
    EXPECT(OK, kpflow_trace_f32(&good, run, ntk, 1, 5, 2, work, &trace));
    EXPECT(NULL, kpflow_trace_f32(&good, run, ntk, 1, 5, 2, work, NULL));
    EXPECT(SIZE, kpflow_trace_f32(&good, run, ntk, 1, 0, 2, work, &trace));
    EXPECT(SIZE, kpflow_trace_f32(&good, run, ntk, 1, 5, 0, work, &trace));
    EXPECT(CHOICE, kpflow_trace_f32(&good, run, 77, 1, 5, 2, work, &trace));
    EXPECT(LENGTH, kpflow_trace_f32(&good, run, ntk, 1, 5, 2, out(scratch, sizes.trace_scratch - 1), &trace));
    EXPECT(LENGTH, kpflow_trace_f32(&good, run, ntk, 1, 5, 2, out(scratch, sizes.state), &trace));
    EXPECT(OVERLAP, kpflow_trace_f32(&good, run, ntk, 1, 5, 2, work, (kpflow_trace *)(void *)(scratch + 2)));

    /* Probes. */
    const uint32_t signs = KPFLOW_DISTRIBUTION_RADEMACHER;
    EXPECT(OK, kpflow_probe_f32(1, 255, signs, 0xFFFFFFFFu, 1, 2, 3, 4, out(y, 24)));
    EXPECT(CHOICE, kpflow_probe_f32(1, 0, 2, 0, 1, 2, 3, 4, out(y, 24)));
    EXPECT(LENGTH, kpflow_probe_f32(1, 0, signs, 0, 1, 2, 3, 4, out(y, 23)));
    EXPECT(NULL, kpflow_probe_f32(1, 0, signs, 0, 1, 2, 3, 4, out(NULL, 24)));
    EXPECT(PROBE, kpflow_probe_f32(1, 256, signs, 0, 1, 2, 3, 4, out(y, 24)));
    EXPECT(PROBE, kpflow_probe_f32(1, 0, signs, SIZE_MAX, 1, 2, 3, 4, out(y, 24)));
    EXPECT(SIZE, kpflow_probe_f32(1, 0, signs, 0, huge, huge, 3, 4, out(y, 24)));

    /* Each status has its own message; what is none has one too. */
    for (int32_t a = -1; a <= KPFLOW_STATUS_PANIC + 1; a++) {
        for (int32_t b = KPFLOW_STATUS_OK; b <= KPFLOW_STATUS_PANIC; b++) {
            int same = strcmp(kpflow_error_message(a), kpflow_error_message(b)) == 0;
            EXPECT(OK, same == (a == b) ? KPFLOW_STATUS_OK : KPFLOW_STATUS_PANIC);
        }
    }
    printf("%d calls, %d failures\n", calls, failures);
    return failures != 0;
}
