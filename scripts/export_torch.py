#!/usr/bin/env python3
"""Export a PyTorch module and its inputs for kpflow.

From Python (with this folder in sys.path), or from the command line, with callables that return module and inputs:

    from export_torch import export; export(module, inputs, "out/name")

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

A module that is one recurrent layer and a readout (nn.RNN, nn.GRU, nn.LSTM or a cell of them) needs no graph:

    python3 scripts/export_torch.py --recurrent my_module.py:make_model my_module.py:make_inputs out/name
    python3 scripts/export_torch.py --recurrent --targets my_module.py:make_targets my_module.py:make_model …

writes out/name.safetensors instead of the graph, and a job of the native kind: see export_recurrent.py, which is the same from
Python. It needs torch, h5py and safetensors alone.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from export_recurrent import export_recurrent

try:
    import onnx
    import onnx.reference
    import onnxruntime
    import onnxscript
    from onnx_ir.passes.common import RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    op = onnxscript.opset18
    missing = None
except ImportError as e:
    missing = e

PARAMETERS_KEY = "kpflow.parameters"

JOB = """[model]
kind = "onnx"
weights = "{name}.onnx"

[data]
inputs = {inputs}

[compute]
precision = "{precision}"

[[analysis]]
name = "ntk_trace"
operator = "ntk"
quantity = "trace"
"""


def export(
    module: torch.nn.Module, inputs: torch.Tensor | tuple[torch.Tensor, ...], path: str | Path, *,
    opset: int = 20, parameters: Iterable[str] | None = None, tidy: bool = True,
) -> onnx.ModelProto:  # fmt: skip
    """Write `path`.onnx, `path`.h5 and `path`.toml, check them, and return the model.

    `parameters` names the parameters to differentiate with respect to (default: all). `tidy` replaces the arithmetic of
    shapes and indices by its results; floating-point numbers are never folded.
    """
    if missing is not None:
        raise ImportError(f"{missing}: pip install onnx onnxscript onnxruntime; --recurrent does without") from missing
    path, batch = Path(path), inputs if isinstance(inputs, tuple) else (inputs,)
    if len({len(x) for x in batch}) != 1:
        raise ValueError("the inputs differ in their leading dimension")
    training = module.training
    module.eval()
    try:
        model = _to_onnx(module, tuple(x[:1] for x in batch), opset, tidy)
        expected = _outputs(module, batch)
    finally:
        module.train(training)
    names = _parameter_names(module, model, parameters)
    onnx.helper.set_model_props(model, {PARAMETERS_KEY: "\n".join(names)})
    onnx.checker.check_model(model, full_check=True)
    arrays = {i.name: x.detach().numpy() for i, x in zip(model.graph.input, batch, strict=True)}
    for k in {0, len(expected) - 1}:
        if not _close(_run(model, {name: x[k : k + 1] for name, x in arrays.items()}), expected[k : k + 1]):
            raise RuntimeError("the exported graph does not reproduce the output of the module")

    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, f"{path}.onnx")
    with h5py.File(f"{path}.h5", "w") as file:
        for name, x in arrays.items():
            file["inputs" if len(arrays) == 1 else f"inputs/{name}"] = x
    precision = "f64" if expected.dtype == np.float64 else "f32"
    where = f"{path.name}.h5:/inputs"
    several = ", ".join(f'"{name}" = "{where}/{name}"' for name in arrays)
    given = f'"{where}"' if len(arrays) == 1 else f"{{ {several} }}"
    Path(f"{path}.toml").write_text(JOB.format(name=path.name, inputs=given, precision=precision))
    return model


@torch.no_grad()
def _outputs(module: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> np.ndarray:
    """The outputs on all trajectories; an error if the last one's is another when alone."""
    together, alone = module(*batch), module(*(x[-1:] for x in batch))
    if not isinstance(together, torch.Tensor):
        raise TypeError(f"the module must return one tensor, not {type(together).__name__}: wrap it")
    if together.shape[:1] != batch[0].shape[:1] or not _close(alone.numpy(), together[-1:].numpy()):
        raise ValueError("the trajectories are not independent along the leading dimension (batch_first=True missing?)")
    return together.numpy()


def _to_onnx(module: torch.nn.Module, one: tuple[torch.Tensor, ...], opset: int, tidy: bool) -> onnx.ModelProto:
    aten = torch.ops.aten
    rnn = {aten.rnn_tanh.input: _rnn("Tanh"), aten.rnn_relu.input: _rnn("Relu")}
    settings: dict[str, Any] = {"opset_version": opset, "custom_translation_table": rnn, "verbose": False}
    # optimize=True would fold parameters into anonymous constants
    program = torch.onnx.export(module, one, dynamo=True, optimize=False, **settings)
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
        ways, each, last = 1 + bidirectional, 2 + 2 * has_biases, []
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        for k in range(0, num_layers * ways, ways):
            sets = [params[each * i : each * (i + 1)] for i in range(k, k + ways)]
            w, r = (op.Concat(*[op.Unsqueeze(s[i], [0]) for s in sets], axis=0) for i in (0, 1))
            b = op.Concat(*[op.Unsqueeze(op.Concat(*s[2:], axis=0), [0]) for s in sets], axis=0) if has_biases else None
            way = "bidirectional" if bidirectional else "forward"
            options = {"hidden_size": params[1].shape[-1], "direction": way, "activations": [activation] * ways}
            y, h = op.RNN(x, w, r, b, None, op.Slice(hx, [k], [k + ways], [0]), **options)
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1])  # the directions side by side
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
    found: dict[str, None] = {}
    for name in known if wanted is None else wanted:
        present = [alias for alias in known[name] if alias in initialisers]
        if len(present) > 1:
            raise ValueError(f"a shared parameter was exported more than once: {present}")
        if not present:
            print(f"warning: the output does not read the parameter {name}", file=sys.stderr)
        found.update(dict.fromkeys(present))
    return list(found)


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    if model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:  # onnxruntime lacks operators
        return onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0]
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    tolerance = 1e-8 if b.dtype == np.float64 else 1e-4
    return a.shape == b.shape and bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())


def _load(spec: str) -> Any:
    """Call FILE.py:FUNCTION."""
    file, _, function = spec.rpartition(":")
    sys.path.insert(0, str(Path(file).resolve().parent))
    if not function.isidentifier() or not Path(file).is_file():
        raise ValueError(f"{spec} is no FILE.py:FUNCTION; there is no such file")
    names = runpy.run_path(file)
    if not callable(names.get(function)):
        raise ValueError(f"{file} has no function {function}")
    return names[function]()


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a PyTorch module and its inputs for kpflow.")
    parser.add_argument("model", help="FILE.py:FUNCTION that returns the torch.nn.Module")
    parser.add_argument("inputs", help="FILE.py:FUNCTION that returns the inputs, [B, ...], or a tuple of such")
    parser.add_argument("path", help="output files, without extension")
    parser.add_argument("--opset", type=int, default=20)
    parser.add_argument("--recurrent", action="store_true", help="export the recurrent layer to a native job, no graph")
    parser.add_argument("--targets", metavar="FILE.py:FUNCTION", help="--recurrent: what the output should be, or its classes")
    parser.add_argument("--layer", metavar="NAME", help="--recurrent: the layer's name, where the module has several")
    a = parser.parse_args()
    if (a.targets or a.layer) and not a.recurrent:
        parser.error("--targets and --layer are for --recurrent")
    try:
        if a.recurrent:
            targets = _load(a.targets) if a.targets else None
            export_recurrent(_load(a.model), _load(a.inputs), a.path, targets=targets, layer=a.layer)
        else:
            export(_load(a.model), _load(a.inputs), a.path, opset=a.opset)
    except (ImportError, RuntimeError, TypeError, ValueError) as e:
        # What the module's own code raises is shown with where.
        if Path(traceback.extract_tb(e.__traceback__)[-1].filename).parent != Path(__file__).parent:
            raise
        sys.exit(f"error: {e}")
    weights = "safetensors" if a.recurrent else "onnx"
    print(f"{a.path}.{weights}, .h5 and .toml written; next: kpflow run {a.path}.toml")


if __name__ == "__main__":
    main()
