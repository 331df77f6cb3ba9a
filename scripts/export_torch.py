#!/usr/bin/env python3
"""Export a PyTorch module and its inputs for kpflow.

From Python (with this folder in sys.path), or from the command line, with callables that return module and inputs:

    from export_torch import export; export(module, inputs, "out/name")

    python3 scripts/export_torch.py my_module.py:make_model my_module.py:make_inputs out/name

Both write three files; `kpflow` runs the third:

    out/name.onnx    the graph for one trajectory (batch size 1, static shapes), weights inside
    out/name.h5      the inputs of all trajectories, dataset /inputs; and what torch makes of them, dataset /outputs: `kpflow check`
                     compares it with the model that runs
    out/name.toml    a job: the trace of the NTK

`inputs` is a tensor, a numpy array or a list [B, ...], or a tuple or dictionary of them that share the leading batch dimension B
(each then a dataset /inputs/NAME, with NAME the argument's name). Floating-point numbers of arrays and lists take the precision of
the module; whole numbers stay whole. The module must return one tensor [B, ...], and is exported in evaluation mode. In float64
(module.double()) the graph, the Python numbers in it (x * 0.1) and the job are in double precision.

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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from export_inputs import array, in_double, positional, record, tolerance
from exporter.arguments import apart, close
from export_recurrent import export_recurrent

try:
    import onnx
    import onnx.reference
    import onnxruntime
    from exporter import graph
    from onnx.reference.op_run import OpRun

    missing = None

    def _exact(name: str, f: Callable[..., torch.Tensor]) -> type[OpRun]:
        """An operator in torch's own words, where the reference has single-precision constants in it."""
        run = lambda _, x, **attributes: (f(torch.from_numpy(x), **{k: v for k, v in attributes.items() if v is not None}).numpy(),)
        return type(name, (OpRun,), {"op_domain": "", "_run": run})

    def _selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
        return _written(gamma) * torch.where(x > 0, x, _written(alpha) * torch.expm1(x))

    EXACT = [
        _exact("Gelu", torch.nn.functional.gelu), _exact("Celu", torch.nn.functional.celu), _exact("Selu", _selu),
        _exact("HardSwish", torch.nn.functional.hardswish),
    ]  # fmt: skip

except ImportError as e:
    missing = e

JOB = """[model]
kind = "onnx"
weights = "{name}.onnx"

[data]
inputs = {inputs}
outputs = "{name}.h5:/outputs"

[compute]
precision = "{precision}"

[[analysis]]
name = "ntk_trace"
operator = "ntk"
quantity = "trace"
"""


def export(
    module: torch.nn.Module, inputs: Any, path: str | Path, *,
    opset: int = 20, parameters: Iterable[str] | None = None, tidy: bool = True,
) -> onnx.ModelProto:  # fmt: skip
    """Write `path`.onnx, `path`.h5 and `path`.toml, check them, and return the model.

    `parameters` names the parameters to differentiate with respect to (default: all). `tidy` replaces the arithmetic of
    shapes and indices by its results; floating-point numbers are never folded.
    """
    if missing is not None:
        raise ImportError(f"{missing}: pip install onnx onnxscript onnxruntime; --recurrent does without") from missing
    path, training = Path(path), module.training
    if parameters is None:
        parameters = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    module.eval()
    try:
        made = graph.export(module, inputs, parameters=parameters, opset=opset, tidy=tidy, whole=False, stacklevel=2)
        exact = in_double(module, positional(module, inputs)) if made.outputs.dtype == np.float32 else None
    finally:
        module.train(training)
    model, arrays, expected = made.graph, made.inputs, made.outputs
    onnx.checker.check_model(model, full_check=True)
    _reproduces(model, arrays, expected)

    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, f"{path}.onnx")
    with h5py.File(f"{path}.h5", "w") as file:
        for name, x in arrays.items():
            file["inputs" if len(arrays) == 1 else f"inputs/{name}"] = x
        within = tolerance(expected, array(exact) if isinstance(exact, torch.Tensor) else None)
        record(file, expected, list(arrays.values()), Path(f"{path}.onnx"), within)
    precision = "f64" if expected.dtype == np.float64 else "f32"
    where = f"{path.name}.h5:/inputs"
    several = ", ".join(f'"{name}" = "{where}/{name}"' for name in arrays)
    given = f'"{where}"' if len(arrays) == 1 else f"{{ {several} }}"
    Path(f"{path}.toml").write_text(JOB.format(name=path.name, inputs=given, precision=precision))
    return model


def _reproduces(model: onnx.ModelProto, arrays: dict[str, np.ndarray], expected: np.ndarray) -> None:
    """Fails unless the graph gives the outputs of the module, saying by how much not, where, and why that may be."""
    last = len(expected) - 1
    fits = {}
    for k in dict.fromkeys((0, last)):
        found = _run(model, {name: x[k : k + 1] for name, x in arrays.items()})
        fits[k] = close(found, expected[k : k + 1])
        if fits[k]:
            continue
        told = apart(found, expected[k : k + 1])
        causes = ["a change in place of a tensor", "an operator that the exporter translates otherwise"]
        if k and fits[0]:
            causes.insert(0, "control flow that depends on the data: the graph is that of trajectory 0, on which it agrees")
        else:
            causes.append("control flow that depends on the data")
        if found.shape == expected[k : k + 1].shape and expected.dtype == np.float64:
            if np.abs(found - expected[k : k + 1]).max() < 1e-5 * np.abs(expected[k]).max():
                causes.insert(0, "single-precision constants in a double-precision graph")
        raise RuntimeError(
            f"the exported graph does not reproduce the output of the module: output {model.graph.output[0].name} (number 0) of "
            f"trajectory {k} differs by {told}; likely causes: {'; '.join(causes)}"
        )


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    if model.graph.output[0].type.tensor_type.elem_type != onnx.TensorProto.DOUBLE:
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    evaluator = onnx.reference.ReferenceEvaluator(model, new_ops=EXACT)  # onnxruntime lacks operators in double precision
    for node, run in zip(model.graph.node, evaluator.rt_nodes_, strict=True):
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.FLOAT:
                setattr(run, attribute.name, _written(attribute.f))
    return evaluator.run(None, feeds)[0]


def _written(attribute: float) -> float:
    """The number that an attribute, single precision by the standard, is meant to be, as kpflow reads it: 0.01, not 0.00999999977."""
    known = (1 / 6, 1.6732632423543772848, 1.0507009873554804934)  # hard sigmoid's, selu's
    exact = [x for x in known if np.float32(x) == np.float32(attribute)]
    return exact[0] if exact else float(str(np.float32(attribute)))


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
