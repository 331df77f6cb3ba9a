#!/usr/bin/env python3
"""Graphs with control flow, which torch seldom exports, and golden nets through torch's exporter.

    python3 tests/reference/make_control.py GOLDEN

onnx/scan.*           a tanh RNN as a Scan
onnx/loop.*           three turns of a Loop with shared weights, an If with a fixed condition inside, every turn's result collected
onnx/golden_*.onnx    the golden nets gru_h0 and rnn_relu_h0 (whose initial state the job gives) and leaky_rnn, unrolled in time
Values of the first two are torch's, as in make_onnx.py; those of the golden nets are in GOLDEN.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import onnx
import torch
from make_onnx import HERE, Sequence, answers, export
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn


class Scanned(nn.Module):
    """h_t = tanh(x_t W + h_{t-1} U)."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.u = nn.Parameter(0.5 * torch.randn(3, 4)), nn.Parameter(0.5 * torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        h, states = x.new_zeros(len(x), 4), []
        for step in x.unbind(1):
            h = torch.tanh(step @ self.w + h @ self.u)
            states.append(h)
        return torch.stack(states, 1)


class Looped(nn.Module):
    """Three turns of x <- x + tanh(x W), all of them stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(0.5 * torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        turns = []
        for _ in range(3):
            x = x + torch.tanh(x @ self.w)
            turns.append(x)
        return torch.stack(turns, 1)


def node(kind: str, reads: str, writes: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, reads.split(), writes.split(), **attributes)


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(name: str, graph: onnx.GraphProto, module: nn.Module, inputs: Tensor) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, HERE / "onnx" / f"{name}.onnx")
    path = HERE / "onnx" / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["inputs"] = inputs.numpy()
    answers(module, inputs, [name for name, _ in module.named_parameters()], path)


def initialisers(module: nn.Module, **constants: np.ndarray) -> list[onnx.TensorProto]:
    arrays = {name: p.detach().numpy() for name, p in module.named_parameters()} | constants
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def scan() -> None:
    module, inputs = Scanned(), torch.randn(3, 5, 3)
    body = helper.make_graph(
        [node("MatMul", "step w", "a"), node("MatMul", "before u", "b"), node("Add", "a b", "s"), node("Tanh", "s", "after"),
         node("Identity", "after", "kept")],
        "body", [value("before", 1, 4), value("step", 1, 3)], [value("after", 1, 4), value("kept", 1, 4)],
    )  # fmt: skip
    nodes = [
        node("Constant", "", "zero", value=numpy_helper.from_array(np.zeros((1, 4), np.float32))),
        node("Transpose", "x", "steps", perm=[1, 0, 2]),
        node("Scan", "zero steps", "last all", body=body, num_scan_inputs=1),
        node("Transpose", "all", "y", perm=[1, 0, 2]),
    ]
    graph = helper.make_graph(nodes, "scan", [value("x", 1, 5, 3)], [value("y", 1, 5, 4)], initialisers(module))
    save("scan", graph, module, inputs)


def loop() -> None:
    module, inputs = Looped(), torch.randn(3, 4)
    add = helper.make_graph([node("Add", "now t", "sum")], "add", [], [value("sum", 1, 4)])
    subtract = helper.make_graph([node("Sub", "now t", "difference")], "subtract", [], [value("difference", 1, 4)])
    body = helper.make_graph(
        [node("MatMul", "now w", "s"), node("Tanh", "s", "t"), node("If", "go", "next", then_branch=add, else_branch=subtract),
         node("Identity", "go", "on"), node("Identity", "next", "kept")],
        "body",
        [value("turn", kind=TensorProto.INT64), value("go", kind=TensorProto.BOOL), value("now", 1, 4)],
        [value("on", kind=TensorProto.BOOL), value("next", 1, 4), value("kept", 1, 4)],
    )  # fmt: skip
    nodes = [node("Loop", "turns yes x", "end all", body=body), node("Transpose", "all", "y", perm=[1, 0, 2])]
    constants = {"turns": np.array(3, np.int64), "yes": np.array(True)}
    graph = helper.make_graph(nodes, "loop", [value("x", 1, 4)], [value("y", 1, 3, 4)], initialisers(module, **constants))
    model_parameters = graph.initializer
    assert {t.name for t in model_parameters} == {"w", "turns", "yes"}
    save("loop", graph, module, inputs)


class Leaky(nn.Module):
    def __init__(self, weights: dict[str, Tensor], dt: float) -> None:
        super().__init__()
        self.ih, self.hh = nn.Parameter(weights["weight_ih_l0"]), nn.Parameter(weights["weight_hh_l0"])
        # Numbers in the code would be exported in single precision.
        self.register_buffer("dt", torch.tensor([dt], dtype=torch.float64))
        self.register_buffer("rest", 1 - self.dt)

    def forward(self, x: Tensor) -> Tensor:
        z, states = x.new_zeros(len(x), len(self.hh)), []
        for step in x.unbind(1):
            z = self.rest * z + self.dt * (torch.tanh(z) @ self.hh.T + step @ self.ih.T)
            states.append(z)
        return torch.stack(states, 1)


def golden(folder: Path) -> None:
    def read(name: str) -> tuple[dict[str, Tensor], Tensor]:
        with h5py.File(folder / f"{name}.h5") as file:
            return load_file(folder / f"{name}.safetensors"), torch.from_numpy(file["inputs"][:])

    weights, inputs = read("gru_h0")
    gru = nn.GRU(inputs.shape[2], weights["weight_hh_l0"].shape[1], batch_first=True).double()
    gru.load_state_dict(weights)
    leaky, leaky_inputs = read("leaky_rnn")
    for name, module, x in (("gru_h0", Sequence(gru), inputs), ("leaky_rnn", Leaky(leaky, 0.3).double(), leaky_inputs)):
        path = HERE / "onnx" / f"golden_{name}"
        export(module, x, path)
        path.with_suffix(".toml").unlink()
        path.with_suffix(".h5").unlink()

    # By hand: onnx.reference, against which exports in double precision are checked, has no relu here.
    weights, inputs = read("rnn_relu_h0")
    steps, n_in, hidden = *inputs.shape[1:], weights["weight_hh_l0"].shape[1]
    bias = torch.cat([weights["bias_ih_l0"], weights["bias_hh_l0"]])
    arrays = {"w": weights["weight_ih_l0"], "r": weights["weight_hh_l0"], "b": bias}
    nodes = [node("Transpose", "x", "s", perm=[1, 0, 2]), node("RNN", "s w r b", "y", activations=["Relu"], hidden_size=hidden)]
    double = TensorProto.DOUBLE
    graph = helper.make_graph(
        nodes, "relu", [value("x", 1, steps, n_in, kind=double)], [value("y", steps, 1, 1, hidden, kind=double)],
        [numpy_helper.from_array(a[None].numpy(), k) for k, a in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, HERE / "onnx" / "golden_rnn_relu_h0.onnx")


def main() -> None:
    for seed, make in enumerate((scan, loop)):
        torch.manual_seed(100 + seed)
        make()
    golden(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
