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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from export_inputs import array, in_double, positional, record, tolerance
from export_recurrent import export_recurrent

try:
    import onnx
    import onnx.reference
    import onnxruntime
    import onnxscript
    from onnx.reference.op_run import OpRun
    from onnx_ir.passes.common import RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    op = onnxscript.opset18
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

PARAMETERS_KEY = "kpflow.parameters"

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
    path, batch = Path(path), positional(module, inputs)
    if not all(isinstance(x, torch.Tensor) and x.ndim for x in batch):
        raise TypeError("the inputs should be arrays [B, ...], one for each argument of forward")
    if len({len(x) for x in batch}) != 1 or not len(batch[0]):
        told = ", ".join(str(list(x.shape)) for x in batch)
        raise ValueError(f"the inputs differ in their leading dimension, or it is 0: {told}")
    training = module.training
    module.eval()
    try:
        expected, exact = _outputs(module, batch)
        model = _to_onnx(module, tuple(x[:1] for x in batch), opset, tidy)
    finally:
        module.train(training)
    names = _parameter_names(module, model, parameters)
    onnx.helper.set_model_props(model, {PARAMETERS_KEY: "\n".join(names)})
    onnx.checker.check_model(model, full_check=True)
    arrays = {i.name: array(x) for i, x in zip(model.graph.input, batch, strict=True)}
    _reproduces(model, arrays, expected)

    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, f"{path}.onnx")
    with h5py.File(f"{path}.h5", "w") as file:
        for name, x in arrays.items():
            file["inputs" if len(arrays) == 1 else f"inputs/{name}"] = x
        record(file, expected, list(arrays.values()), Path(f"{path}.onnx"), tolerance(expected, exact))
    precision = "f64" if expected.dtype == np.float64 else "f32"
    where = f"{path.name}.h5:/inputs"
    several = ", ".join(f'"{name}" = "{where}/{name}"' for name in arrays)
    given = f'"{where}"' if len(arrays) == 1 else f"{{ {several} }}"
    Path(f"{path}.toml").write_text(JOB.format(name=path.name, inputs=given, precision=precision))
    return model


@torch.no_grad()
def _outputs(module: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """The outputs on all trajectories, and those in double precision; an error where they are not a function of each trajectory."""
    before = {k: v.clone() for k, v in module.state_dict().items()}
    together = module(*batch)
    changed = [k for k, v in module.state_dict().items() if not torch.equal(v, before[k])]
    if not isinstance(together, torch.Tensor):
        raise TypeError(f"the module must return one tensor, not {type(together).__name__}: wrap it")
    again = module(*batch)
    if not torch.equal(torch.nan_to_num(again), torch.nan_to_num(together)):
        apart = _apart(array(again), array(together))
        why = f"it changes {', '.join(changed)} as it runs" if changed else (
            "it draws random numbers (dropout with training=True, torch.rand) or keeps a state of its own"
        )  # fmt: skip
        raise ValueError(f"two runs of the module on the same inputs differ by {apart}: {why}; a graph cannot")
    alone = module(*(x[-1:] for x in batch))
    if together.shape[:1] != batch[0].shape[:1]:
        raise ValueError(
            f"the output has shape {list(together.shape)} and the inputs {len(batch[0])} trajectories; its first axis should be "
            "the trajectories (batch_first=True missing?)"
        )
    if not _close(array(alone), array(together[-1:])):
        apart = _apart(array(alone), array(together[-1:]))
        raise ValueError(
            "the trajectories are not independent along the leading dimension (batch_first=True missing? a statistic of the batch?): "
            f"alone the last one's output differs by {apart}"
        )
    exact = in_double(module, batch) if together.dtype == torch.float32 else None
    return array(together), array(exact) if isinstance(exact, torch.Tensor) else None


def _apart(found: np.ndarray, right: np.ndarray) -> str:
    """How far two outputs are from each other, in words."""
    if found.shape != right.shape:
        return f"its shape, {list(found.shape)} for {list(right.shape)}"
    apart = np.abs(found.astype("f8") - right)
    worst = tuple(int(i) for i in np.unravel_index(np.nan_to_num(apart, nan=np.inf).argmax(), apart.shape))
    relative = apart[worst] / max(np.abs(right).max(), np.finfo("f8").tiny)
    return f"{apart[worst]:.2g} at index {list(worst)}, {relative:.2g} of the largest output"


def _reproduces(model: onnx.ModelProto, arrays: dict[str, np.ndarray], expected: np.ndarray) -> None:
    """Fails unless the graph gives the outputs of the module, saying by how much not, where, and why that may be."""
    last = len(expected) - 1
    fits = {}
    for k in dict.fromkeys((0, last)):
        found = _run(model, {name: x[k : k + 1] for name, x in arrays.items()})
        fits[k] = _close(found, expected[k : k + 1])
        if fits[k]:
            continue
        apart = _apart(found, expected[k : k + 1])
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
            f"trajectory {k} differs by {apart}; likely causes: {'; '.join(causes)}"
        )


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
    if model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
        _double_constants(model, program.exported_program.graph_module)
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        item.ClearField("metadata_props")  # stack traces
    return model


def _double_constants(model: onnx.ModelProto, module: torch.fx.GraphModule) -> None:
    """Python numbers of a double-precision module in double precision: the exporter rounds them to single, and casts them back."""
    written: dict[float, set[float]] = {}
    for node in module.graph.nodes:
        for number in _numbers((node.args, node.kwargs)):
            with np.errstate(over="ignore", under="ignore"):
                written.setdefault(float(np.float32(number)), set()).add(number)
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    double = onnx.TensorProto.DOUBLE
    casts = lambda node: node.op_type == "Cast" and onnx.helper.get_attribute_value(node.attribute[0]) == double
    changed = set()
    for node in graph.node:
        if node.op_type != "Constant" or not all(map(casts, readers.get(node.output[0], []))):
            continue
        value = onnx.helper.get_attribute_value(node.attribute[0])
        if isinstance(value, onnx.TensorProto) and value.data_type == onnx.TensorProto.FLOAT:
            value = onnx.numpy_helper.to_array(value)
        if not isinstance(value, float | np.ndarray) or np.size(value) != 1:
            continue
        exact = written.get(float(np.asarray(value, "f4").item()), set())
        if len(exact) > 1:
            raise ValueError(f"the numbers {sorted(exact)} of the module are one in single precision, which the exporter goes through")
        for number in exact:
            array = np.full(np.shape(value), number, "f8")
            node.ClearField("attribute")
            node.attribute.append(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(array)))
            changed.add(node.output[0])
    for info in graph.value_info:
        if info.name in changed:
            info.type.tensor_type.elem_type = double


def _numbers(args: Any) -> Iterator[float]:
    """The floating-point numbers in the arguments of a node."""
    if isinstance(args, float):
        yield args
    elif isinstance(args, dict):
        yield from _numbers(tuple(args.values()))
    elif isinstance(args, tuple | list):
        for part in args:
            yield from _numbers(part)


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


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    tolerance = 1e-8 if b.dtype == np.float64 else 1e-4
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    return a.size == 0 or bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())


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
