#!/usr/bin/env python3
"""Products with the NTK of every kind of model, beside torch.func in the same run.

    python3 kpflow-bench/kinds/kinds.py [--only PART …] [--precision f32 f64] [--threads N] [--out FILE] [--seconds S]

Needs the package kpflow (`pip install ./kpflow-hpc/python`), torch, onnx, onnxscript; torchvision for the part `conv`. The unit is a product with one vector, of a block through kpflow's Python
package; torch.func's is vmap(jvp after vjp) at its best chunk; `forward` is a forward pass in torch on the same inputs. Rounds of kpflow and of torch.func's
best chunk alternate; times are medians. The answers are compared. The state is what the module returns. Cases are kinds.toml; what is asked is said at the end.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import platform
import sys
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, jvp, vjp, vmap

import kpflow

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
ROUNDS = 5


def build(case: dict[str, Any], dtype: torch.dtype) -> tuple[torch.nn.Module, torch.Tensor]:
    """The module of a case in evaluation mode, and its inputs."""
    torch.manual_seed(0)
    package, function = case["module"].split(":")
    module = getattr(importlib.import_module(package), function)(**case.get("arguments", {}))
    tokens = case.get("tokens")
    x = torch.randint(0, tokens, case["inputs"]) if tokens else torch.randn(case["inputs"]).to(dtype)
    return module.to(dtype).eval(), x


def seconds(f: Callable[[], Any], budget: float, least: int = 3) -> list[float]:
    """How long f() takes: at least so many times, and for so many seconds."""
    times: list[float] = []
    while len(times) < least or (sum(times) < budget and len(times) < 50):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return times


def median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


def peer(module: torch.nn.Module, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """NTK v by torch.func, of one v as the module's output."""
    theta = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    buffers = dict(module.named_buffers())

    def run(theta: Any) -> torch.Tensor:
        return functional_call(module, (theta, buffers), (x,))

    def product(v: torch.Tensor) -> torch.Tensor:
        (moved,) = vjp(run, theta)[1](v)
        return jvp(run, (theta,), (moved,))[1]

    return product


def measure(case: dict[str, Any], plan: dict[str, Any], precision: str, threads: int, budget: float) -> dict[str, Any]:
    dtype = {"f32": torch.float32, "f64": torch.float64}[precision]
    module, x = build(case, dtype)
    block = case.get("block", plan["block"])
    with torch.no_grad():
        shape = module(x).shape
        forward = median(seconds(lambda: module(x), budget))
    start = time.perf_counter()
    keys = {"dtype": precision.replace("f", "float"), "state": case.get("state")}
    ntk = kpflow.ntk(module, x, block=block, threads=threads, **keys)
    opened = time.perf_counter() - start
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ntk.shape[0], block)).astype(precision.replace("f", "float"))
    if ntk.shape[0] != shape.numel():
        raise ValueError(f"the state of {case['name']} is not what it returns: {ntk.shape[0]} numbers, {tuple(shape)}")
    product, found = peer(module, x), ntk @ vectors
    given = torch.from_numpy(vectors.T.reshape(block, *shape).copy())
    chunks: dict[int, float] = {}
    for chunk in (c for c in plan["chunks"] if c <= block):
        some = given[0] if chunk == 1 else given[:chunk]
        once = product if chunk == 1 else vmap(product)
        try:
            y = once(some).reshape(chunk, -1).T.numpy()
            chunks[chunk] = median(seconds(lambda: once(some), budget / 2, 1)) / chunk  # noqa: B023
        except RuntimeError as e:  # too much memory, or what vmap does not know
            print(f"    torch.func, chunks of {chunk}: {str(e).splitlines()[0][:100]}", flush=True)
    best = min(chunks, key=chunks.__getitem__)
    once, some = (product, given[0]) if best == 1 else (vmap(product), given[:best])
    y = once(some).reshape(best, -1).T.numpy()
    error = float(np.linalg.norm(found[:, :best] - y) / np.linalg.norm(y))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours += [t / block for t in seconds(lambda: ntk @ vectors, budget / ROUNDS, 1)]
        theirs += [t / best for t in seconds(lambda: once(some), budget / ROUNDS, 1)]
    return {
        "case": case["name"], "part": case["part"], "precision": precision, "inputs": case["inputs"], "block": block,
        "parameters": sum(p.numel() for p in module.parameters()), "kpflow": median(ours), "torch_func": median(theirs),
        "chunk": best, "forward": forward, "linearize": opened, "difference": error,
    }  # fmt: skip


def bars(case: dict[str, Any], row: dict[str, Any]) -> list[tuple[str, bool]]:
    """What is asked of a case, and whether it holds."""
    times, forwards = row["torch_func"] / row["kpflow"], row["kpflow"] / row["forward"]
    tolerance = 1e-3 if row["precision"] == "f32" else 1e-9
    asked = [(f"equal to torch.func's: {row['difference']:.0e}", row["difference"] < tolerance)]
    if (least := case.get("times_torch_func")) is not None:
        asked.append((f"{times:.2f} times as fast as torch.func, of {least}", times >= least))
    if (most := case.get("forwards")) is not None and row["precision"] == "f32":
        asked.append((f"{forwards:.2f} forward passes, of {most}", forwards <= most))
    return asked


def main() -> None:
    plan = tomllib.loads((HERE / "kinds.toml").read_text())
    parts = sorted({case["part"] for case in plan["case"]})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--precision", nargs="+", choices=["f32", "f64"], default=["f32", "f64"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--out", type=Path, help="a record: JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kpflow.progress(False)
    torch.set_num_threads(options.threads)
    rows, holding, count = [], 0, 0
    for case in (case for case in plan["case"] if case["part"] in options.only):
        for precision in options.precision:
            row = measure(case, plan, precision, options.threads, options.seconds)
            print(
                f"{row['case']:20} {precision}  kpflow {row['kpflow'] * 1e3:9.3f} ms  torch.func {row['torch_func'] * 1e3:9.3f} ms "
                f"(chunks of {row['chunk']})  forward {row['forward'] * 1e3:9.3f} ms",
                flush=True,
            )
            for sentence, holds in bars(case, row):
                print(f"    {'holds' if holds else 'DOES NOT HOLD'}: {sentence}", flush=True)
                holding, count = holding + holds, count + 1
            rows.append(row)
    print(f"{holding} of {count} hold")
    if options.out:
        record = {
            "date": datetime.date.today().isoformat(), "machine": platform.processor() or platform.machine(),
            "threads": options.threads, "torch": torch.__version__, "rows": rows,
        }  # fmt: skip
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
