#!/usr/bin/env python3
"""Export a PyTorch module and its inputs for kpflow.

From Python (`sys.path` must contain this folder):

    from export_torch import export
    export(module, inputs, "out/name")

From the command line, with callables that return the module and the inputs:

    python3 scripts/export_torch.py my_module.py:make_model my_module.py:make_inputs out/name

Both write three files; `kpflow` runs the third:

    out/name.onnx    the graph for one trajectory (batch size 1, static shapes), weights inside
    out/name.h5      the inputs of all trajectories, dataset /inputs
    out/name.toml    a job: the trace of the NTK

`inputs` is a tensor [B, ...], or a tuple of tensors that share the leading batch dimension B (each then a dataset
/inputs/NAME, with NAME the argument's name). The module must return one tensor [B, ...], and is exported in evaluation
mode. In float64 (module.double(), inputs.double()) the graph and the job are in double precision.

Parameters keep their names as initialisers of the graph. The model property "kpflow.parameters" lists, one a line, those
with respect to which kpflow differentiates: `parameters`, or else all of module.named_parameters() that the output reads
(frozen ones too; buffers never). Needs torch >= 2.9, onnx, onnxscript, onnxruntime, h5py.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import onnx.reference
import onnxruntime
import onnxscript
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants

Inputs = torch.Tensor | tuple[torch.Tensor, ...]

PARAMETERS_KEY = "kpflow.parameters"
op = onnxscript.opset18

JOB = """\
[model]
kind = "onnx"
weights = "{name}.onnx"

[data]
inputs = "{name}.h5:/inputs"

[compute]
precision = "{precision}"

[[analysis]]
name = "ntk_trace"
operator = "ntk"
quantity = "trace"
"""


def export(
    module: torch.nn.Module,
    inputs: Inputs,
    path: str | Path,
    *,
    opset: int = 20,
    parameters: Iterable[str] | None = None,
    tidy: bool = True,
) -> onnx.ModelProto:
    """Write `path`.onnx, `path`.h5 and `path`.toml, check them, and return the model.

    `parameters` names the parameters to differentiate with respect to (default: all). `tidy` replaces the arithmetic of
    shapes and indices by its results; floating-point numbers are never folded.
    """
    path = Path(path)
    batch = inputs if isinstance(inputs, tuple) else (inputs,)
    if len({x.shape[0] for x in batch}) != 1:
        raise ValueError(f"the inputs differ in their leading dimension: {[tuple(x.shape) for x in batch]}")
    training = module.training
    module.eval()
    try:
        expected = _first_output(module, batch)
        model = _to_onnx(module, tuple(x[:1] for x in batch), opset, tidy)
    finally:
        module.train(training)
    names = _parameter_names(module, model, parameters)
    onnx.helper.set_model_props(model, {PARAMETERS_KEY: "\n".join(names)})
    onnx.checker.check_model(model, full_check=True)
    feeds = {i.name: x[:1].detach().numpy() for i, x in zip(model.graph.input, batch, strict=True)}
    _compare(model, feeds, expected.numpy())

    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, f"{path}.onnx")
    with h5py.File(f"{path}.h5", "w") as file:
        if isinstance(inputs, tuple) and len(batch) > 1:
            for name, x in zip(feeds, batch):
                file[f"inputs/{name}"] = x.detach().numpy()
        else:
            file["inputs"] = batch[0].detach().numpy()
    precision = "f64" if expected.dtype == torch.float64 else "f32"
    Path(f"{path}.toml").write_text(JOB.format(name=path.name, precision=precision))
    return model


@torch.no_grad()
def _first_output(module: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The output on the first trajectory, alone; an error if the other trajectories have a say in it."""
    alone, together = module(*(x[:1] for x in batch)), module(*batch)
    if not isinstance(alone, torch.Tensor):
        raise TypeError(f"the module must return one tensor, not {type(alone).__name__}: wrap it")
    if alone.shape[:1] != (1,) or together.shape[:1] != batch[0].shape[:1] or not _close(together[:1], alone):
        raise ValueError("the trajectories are not independent along the leading dimension (batch_first=True missing?)")
    return alone


def _to_onnx(module: torch.nn.Module, one: tuple[torch.Tensor, ...], opset: int, tidy: bool) -> onnx.ModelProto:
    program = torch.onnx.export(
        module,
        one,
        dynamo=True,
        optimize=False,  # would fold parameters into anonymous constants
        opset_version=opset,
        verbose=False,
        custom_translation_table={torch.ops.aten.rnn_tanh.input: _rnn("Tanh"), torch.ops.aten.rnn_relu.input: _rnn("Relu")},
    )
    assert program is not None
    if tidy:
        integral = lambda node: all(y.dtype is not None and not y.dtype.is_floating_point() for y in node.outputs)
        fold_constants(program.model, should_fold=integral, onnx_shape_inference=True)
        RemoveUnusedNodesPass()(program.model)
    model = program.model_proto
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        item.ClearField("metadata_props")  # stack traces
    return model


def _rnn(activation: str) -> Callable[..., Any]:
    """torch.nn.RNN as the operator RNN, one a layer, where the exporter would unroll it in time."""

    def translation(
        x: Any, hx: Any, params: Sequence[Any], has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> tuple[Any, Any]:  # fmt: skip
        directions, each = 1 + bidirectional, 2 + 2 * has_biases
        last: list[Any] = []
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        for layer in range(num_layers):
            sets = [params[each * k : each * (k + 1)] for k in range(layer * directions, (layer + 1) * directions)]
            w, r = (op.Concat(*[op.Unsqueeze(s[i], [0]) for s in sets], axis=0) for i in (0, 1))
            b = op.Concat(*[op.Unsqueeze(op.Concat(s[2], s[3], axis=0), [0]) for s in sets], axis=0) if has_biases else None
            h0 = op.Slice(hx, [layer * directions], [(layer + 1) * directions], [0])
            y, h = op.RNN(
                x, w, r, b, None, h0,
                hidden_size=params[1].shape[-1],
                direction="bidirectional" if bidirectional else "forward",
                activations=[activation] * directions,
            )  # fmt: skip
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1])  # directions side by side
            last.append(h)
        return (op.Transpose(x, perm=[1, 0, 2]) if batch_first else x), op.Concat(*last, axis=0)

    return translation


def _parameter_names(module: torch.nn.Module, model: onnx.ModelProto, wanted: Iterable[str] | None) -> list[str]:
    """The initialisers that hold the wanted parameters; of a shared parameter, the name the exporter chose."""
    initialisers = {i.name for i in model.graph.initializer}
    aliases: dict[torch.Tensor, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        aliases.setdefault(parameter, []).append(name)
    known = {name: names for names in aliases.values() for name in names}
    if unknown := set(wanted := list(known if wanted is None else wanted)) - set(known):
        raise ValueError(f"no such parameters: {sorted(unknown)}")
    found: dict[str, None] = {}
    for name in wanted:
        present = [alias for alias in known[name] if alias in initialisers]
        if len(present) > 1:
            raise ValueError(f"a shared parameter was exported more than once: {present}")
        if not present:
            print(f"warning: the output does not read the parameter {name}", file=sys.stderr)
        found.update(dict.fromkeys(present))
    return list(found)


def _compare(model: onnx.ModelProto, feeds: dict[str, np.ndarray], expected: np.ndarray) -> None:
    if expected.dtype == np.float64:  # onnxruntime lacks several operators in double precision
        output = onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0]
    else:
        output = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    if not _close(torch.from_numpy(np.asarray(output)), torch.from_numpy(expected)):
        raise RuntimeError("the exported graph does not reproduce the output of the module")


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    tolerance = 1e-8 if b.dtype == torch.float64 else 1e-4
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())


def _load(spec: str) -> Any:
    """Call `file.py:function`."""
    file, _, function = spec.rpartition(":")
    found = importlib.util.spec_from_file_location(Path(file).stem, file)
    if found is None or found.loader is None:
        raise SystemExit(f"expected FILE.py:FUNCTION, found {spec}")
    sys.path.insert(0, str(Path(file).resolve().parent))
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return getattr(loaded, function)()


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a PyTorch module and its inputs for kpflow.")
    parser.add_argument("model", metavar="FILE.py:FUNCTION", help="returns the torch.nn.Module")
    parser.add_argument("inputs", metavar="FILE.py:FUNCTION", help="returns the inputs, [B, ...], or a tuple of such")
    parser.add_argument("path", help="output files, without extension")
    parser.add_argument("--opset", type=int, default=20)
    arguments = parser.parse_args()
    export(_load(arguments.model), _load(arguments.inputs), arguments.path, opset=arguments.opset)


if __name__ == "__main__":
    main()
