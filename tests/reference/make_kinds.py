#!/usr/bin/env python3
"""Make tests/reference/data: a small random model of each kind, and its derivatives by torch.func, in float64.

    python3 tests/reference/make_kinds.py [NAME …]

For each case NAME (a function in recurrent.py, feed_forward.py or hugging_face.py):
    NAME.safetensors            weights
    NAME.tangent.safetensors    a random direction dθ; θ is every weight that influences the state
    NAME.vjp.safetensors        Jᵀ probe[0], J = d(state)/dθ
    NAME.h5    attributes kind, shape [B, T, N], options (JSON: what [model] says), parameters (how many numbers θ has);
               datasets inputs, initial_state [B, N], mask [B, T], lengths [B] (these where the case has them), state [B, T, N],
               probe [3, B, T, N], reference/jvp (J dθ), reference/ntk/apply (J Jᵀ of each probe),
               reference/ntk/trace and reference/ntk/frobenius (of J Jᵀ, from the dense J)
The recurrent cells are checked against torch.nn, gpt2 and bert against transformers (skipped where it is absent).
Everything is seeded by the name of the case, so that a new case leaves the others as they are.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import feed_forward
import h5py
import hugging_face
import recurrent
import torch
from case import Case, assert_same
from safetensors.torch import save_file
from torch.func import jacrev, jvp, vjp

DATA = Path(__file__).resolve().parent / "data"


def write(name: str, case: Case) -> None:
    theta = case.theta
    tangent = {k: torch.randn_like(v) for k, v in theta.items()}
    state, along = jvp(case.state, (theta,), (tangent,))
    b, t, n = state.shape
    probe = torch.randn(3, b, t, n)
    _, pull = vjp(case.state, theta)
    vjps = [pull(x)[0] for x in probe]
    applied = torch.stack([jvp(case.state, (theta,), (x,))[1] for x in vjps])

    blocks = jacrev(lambda p: case.state(p).flatten(), chunk_size=64)(theta)
    dense = torch.cat([v.flatten(1) for v in blocks.values()], 1)
    kernel = dense @ dense.T
    # Three ways to the same numbers: reverse, forward, and dense.
    assert_same(probe.flatten(1) @ kernel, applied.flatten(1), f"{name} ntk")
    assert_same(dense @ torch.cat([v.flatten() for v in tangent.values()]), along.flatten(), f"{name} jvp")
    assert state.isfinite().all() and all(v.count_nonzero() > 0 for v in vjps[0].values())

    save_file({k: v.contiguous() for k, v in (theta | case.constants).items()}, DATA / f"{name}.safetensors")
    # The constants go along, so that each file is a checkpoint which the same loader reads.
    save_file(tangent | case.constants, DATA / f"{name}.tangent.safetensors")
    save_file({k: v.contiguous() for k, v in (vjps[0] | case.constants).items()}, DATA / f"{name}.vjp.safetensors")
    with h5py.File(DATA / f"{name}.h5", "w") as file:
        file.attrs["kind"] = case.kind
        file.attrs["shape"] = [b, t, n]
        file.attrs["options"] = json.dumps(case.options)
        file.attrs["parameters"] = dense.shape[1]
        for k, v in case.data.items():
            file[k] = v.numpy()
        file["state"], file["probe"], file["reference/jvp"] = state.numpy(), probe.numpy(), along.numpy()
        file["reference/ntk/apply"] = applied.numpy()
        file["reference/ntk/trace"], file["reference/ntk/frobenius"] = kernel.trace().item(), kernel.norm().item()
    print(f"{name:27} {[b, t, n]!s:13} {dense.shape[1]:5} parameters  |z| ≤ {state.abs().max():.2f}  {case.options}")


CASES = [
    recurrent.rnn_stacked,
    recurrent.gru_stacked,
    recurrent.lstm_stacked,
    recurrent.gru_bidirectional,
    recurrent.lstm_stacked_bidirectional,
    recurrent.leaky_rnn_stacked,
    recurrent.rnn_lengths,
    recurrent.leaky_rnn_lengths,
    recurrent.gru_lengths,
    recurrent.gru_stacked_lengths,
    recurrent.lstm_lengths,
    recurrent.gru_bidirectional_lengths,
    recurrent.lstm_stacked_bidirectional_lengths,
    feed_forward.mlp_widths,
    feed_forward.mlp_layer_norm,
    feed_forward.mlp_batch_norm,
    feed_forward.mlp_prelu,
    feed_forward.conv_net,
    feed_forward.neural_ode_euler,
    feed_forward.neural_ode_midpoint,
    feed_forward.neural_ode_rk4,
    hugging_face.gpt2_small,
    hugging_face.bert_small,
    hugging_face.roberta_small,
]


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    DATA.mkdir(exist_ok=True)
    asked = sys.argv[1:]
    for make in CASES:
        if asked and make.__name__ not in asked:
            continue
        seed = zlib.crc32(make.__name__.encode())
        torch.manual_seed(seed)
        case = make()
        torch.manual_seed(seed + 1)  # so that the check against transformers, which draws numbers, changes nothing
        write(make.__name__, case)


if __name__ == "__main__":
    main()
