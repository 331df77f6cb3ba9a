#!/usr/bin/env python3
"""Loops that torch's exporter unrolled, and convolutions: graphs of modules of the Python package's tests, their inputs, and by torch.func the traces of NTK, K and P Pᵀ.

    PYTHONPATH=the/built/package python3 tests/reference/make_loops.py

writes tests/reference/loops/*.onnx and loops.json. Needs torch, onnx, onnxscript and the package.
"""

import json
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "kpflow-hpc/python/tests"))

import torch  # noqa: E402
from kpflow.exporter.graph import export  # noqa: E402
from modules import CASES  # noqa: E402
from test_modules import dense  # noqa: E402

NAMES = [
    "leaky, nonlinearity outside", "low rank, factors in turn", "Dale by |W|", "trained h0", "minimal gated",
    "linear recurrent unit", "two areas", "short-term plasticity", "Runge-Kutta", "LSTM cells", "nn.GRU from a trained h0",
    "TCN with weight_norm", "separable convolutions",
]  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    (HERE / "loops").mkdir(exist_ok=True)
    cases = []
    for name in NAMES:
        torch.manual_seed(1)
        make, inputs = CASES[name]
        module, x = make(), inputs()
        made = export(module, x, dtype=torch.float64)
        right = dense(module, x)
        file = "".join(c if c.isalnum() else "_" for c in name)
        (HERE / f"loops/{file}.onnx").write_bytes(made.graph.SerializeToString())
        (given,) = made.inputs.values()
        shape = [len(x), right.state.numel() // len(x)]
        traces = {
            "ntk": right.ntk, "parameter": right.parameter, "propagator_gram": right.propagator @ right.propagator.T,
        }  # fmt: skip
        cases.append(
            {"name": name, "file": file, "inputs": given.ravel().tolist(), "inputs_shape": list(given.shape), "shape": shape}
            | {key: float(torch.trace(a)) for key, a in traces.items()}
        )
    (HERE / "loops/loops.json").write_text(json.dumps(cases, indent=1) + "\n")


main()
