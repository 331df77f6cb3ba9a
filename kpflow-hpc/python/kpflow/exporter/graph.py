"""Any torch module as an ONNX graph for one trajectory, by torch's exporter, in memory.

Parameters keep their names as initialisers of the graph; the model property "kpflow.parameters" lists, one a line, those
with respect to which kpflow differentiates. Floating-point numbers are never folded: parameters would be lost in them.

It needs torch, onnx and onnxscript.
"""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants

from .arguments import apart, array, close, positional, tensor
from .names import call_inputs, name_layers, parameter_names, without_prefix
from .translate import double_constants, rnn

OPSET = 20
PARAMETERS_KEY = "kpflow.parameters"


WHOLE = (
    "the rows of the inputs are not independent along their first axis (nor the second): the module sees all of them as one "
    "trajectory; a batch of such inputs needs a module that takes an axis more"
)


@dataclass
class Exported:
    """A graph of one trajectory, and what all trajectories are fed with and give, the trajectory first."""

    graph: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: np.ndarray


def export(
    module: torch.nn.Module,
    inputs: Any,
    *,
    dtype: torch.dtype | None = None,
    parameters: Iterable[str] | None = None,
    opset: int = OPSET,
    tidy: bool = True,
    whole: bool = True,
    stacklevel: int = 1,
) -> Exported:
    """A module on inputs as forward takes them, in numbers of `dtype` (or its own).

    `parameters`: those to differentiate with respect to; those with requires_grad, unless said. `tidy` replaces the arithmetic of shapes and
    indices by its results. `whole`: inputs of which no axis is the trajectory's are taken as one, with a warning.
    `stacklevel`: of warnings.

    Raises ValueError, TypeError or RuntimeError, with what to do, where the module is no function of each trajectory.
    """
    with _copied(module, dtype) as module:
        names, batch = _arguments(module, inputs, dtype)
        if not whole and len({len(x) for x in batch}) != 1:
            told = ", ".join(str(list(x.shape)) for x in batch)
            raise ValueError(f"the inputs differ in their leading dimension, or it is 0: {told}")
        single = _Single(module, names)
        outputs, axis = _outputs(single, batch)
        if axis is None:
            if not whole:
                raise ValueError(_dependent(single, batch, outputs))
            single.whole, batch, axis = True, tuple(x[None] for x in batch), 0
            outputs = outputs[None]
            warnings.warn(WHOLE, stacklevel=stacklevel + 1)
        if single.others:
            warnings.warn(
                f"the module returns {single.others + 1} things; the first tensor is its output",
                stacklevel=stacklevel + 1,
            )
        graph = _to_onnx(single, tuple(x.narrow(axis, 0, 1) for x in batch), opset, tidy)
        call_inputs(graph.graph, names or list(inspect.signature(module.forward).parameters)[: len(batch)])
        listed = parameter_names(module, graph, parameters, stacklevel)
    onnx.helper.set_model_props(graph, {PARAMETERS_KEY: "\n".join(listed)})
    arrays = {i.name: array(x.movedim(axis, 0)) for i, x in zip(graph.graph.input, batch, strict=True)}
    return Exported(graph, arrays, array(outputs))


class _Single(torch.nn.Module):
    """A module's first output, of arguments by their names; or of inputs that are one trajectory, with an axis for it."""

    def __init__(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module, self.names = module, names
        self.training = module.training
        self.whole = False
        self.others = 0

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        parts = [x[0] for x in inputs] if self.whole else inputs
        found = self.module(**dict(zip(self.names, parts, strict=True))) if self.names else self.module(*parts)
        first, self.others = _first(found)
        return first[None] if self.whole else first


def _first(found: Any) -> tuple[torch.Tensor, int]:
    """The first tensor of what a module returns, and how many others there are."""
    if isinstance(found, torch.Tensor):
        return found, 0
    parts = list(found.values()) if isinstance(found, Mapping) else found
    if isinstance(parts, (tuple, list)) and parts:
        first, others = _first(parts[0])
        return first, others + len(parts) - 1
    raise TypeError(f"the module returns {type(found).__name__}, which does not begin with a tensor; wrap it")


@contextmanager
def _copied(module: torch.nn.Module, dtype: torch.dtype | None) -> Iterator[torch.nn.Module]:
    """A copy of a module in numbers of a type, which is the default meanwhile: what forward makes is of it."""
    try:
        made = copy.deepcopy(module)
    except RuntimeError:
        # torch.nn.utils.weight_norm leaves what it computed, which is computed anew.
        for part in module.modules():
            for name, x in vars(part).items():
                if isinstance(x, torch.Tensor) and not x.is_leaf:
                    setattr(part, name, x.detach())
        made = copy.deepcopy(module)
    made = made.cpu() if dtype is None else made.cpu().to(dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or before)
    try:
        yield made
    finally:
        torch.set_default_dtype(before)


def _arguments(
    module: torch.nn.Module, inputs: Any, dtype: torch.dtype | None
) -> tuple[list[str], tuple[torch.Tensor, ...]]:
    """The names of the arguments, if they are given by name, and the tensors."""
    names = [str(name) for name in inputs] if isinstance(inputs, Mapping) else []
    known = inspect.signature(module.forward).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    foreign = [name for name in names if name not in known and not anything]
    if foreign:
        raise ValueError(f"the inputs name {', '.join(foreign)}; forward takes {', '.join(known)}")
    batch = tuple(tensor(module, x) for x in inputs.values()) if names else positional(module, inputs)
    if not batch or not all(isinstance(x, torch.Tensor) and x.ndim for x in batch):
        raise TypeError("the inputs should be arrays [B, ...], one for each argument of forward that is needed")
    moved = (x.detach().cpu() for x in batch)
    return names, tuple(x.to(dtype) if dtype is not None and x.is_floating_point() else x for x in moved)


@torch.no_grad()
def _outputs(module: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, int | None]:
    """The outputs of all trajectories, the trajectory first, and which axis of the inputs it is; none where it is none."""
    before = {k: v.clone() for k, v in module.state_dict().items()}
    trained = any(part.training for part in module.modules())
    together = module(*batch)
    changed = [k.removeprefix("module.") for k, v in module.state_dict().items() if not torch.equal(v, before[k])]
    if trained:
        module.load_state_dict(before)
        module.eval()
    again = module(*batch)
    if not torch.equal(torch.nan_to_num(again), torch.nan_to_num(together)):
        raise ValueError(
            f"two runs of the module on the same inputs differ by {apart(again, together)}: {_why(trained, changed)}"
        )
    for axis in (0, 1):
        rows = {x.shape[axis] if x.ndim > axis else None for x in batch}
        if len(rows) != 1 or None in rows:
            continue
        try:
            alone = module(*(x.narrow(axis, x.shape[axis] - 1, 1) for x in batch))
        except (RuntimeError, ValueError, IndexError):
            continue
        found = _axis(alone, together, batch[0].shape[axis])
        if found is not None:
            return together.movedim(found, 0), axis
    return together, None


def _axis(alone: torch.Tensor, together: torch.Tensor, rows: int) -> int | None:
    """Along which axis of an output the last of so many trajectories is, which ran alone too."""
    for axis in range(min(2, together.ndim)):
        if together.shape[axis] == rows and alone.ndim == together.ndim and alone.shape[axis] == 1:
            if close(array(alone), array(together.narrow(axis, rows - 1, 1))):
                return axis
    return None


@torch.no_grad()
def _dependent(module: torch.nn.Module, batch: tuple[torch.Tensor, ...], together: torch.Tensor) -> str:
    """What is said of trajectories that depend on each other."""
    alone, last = module(*(x[-1:] for x in batch)), together[-1:]
    return (
        "the trajectories are not independent along the leading dimension (batch_first=True missing? a statistic of the "
        f"batch?): alone the last one's output differs by {apart(alone, last)}"
    )


def _why(trained: bool, changed: list[str]) -> str:
    if trained:
        return "it is in training mode (dropout, BatchNorm, noise); call module.eval()"
    if changed:
        return f"it changes {', '.join(changed)} as it runs; a graph cannot"
    return (
        "it draws random numbers (dropout with training=True, torch.rand) or keeps a state of its own; a graph cannot"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself: operators of torchvision that are not there, deprecations inside torch."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _to_onnx(module: torch.nn.Module, one: tuple[torch.Tensor, ...], opset: int, tidy: bool) -> onnx.ModelProto:
    aten = torch.ops.aten
    own = {aten.rnn_tanh.input: rnn("Tanh"), aten.rnn_relu.input: rnn("Relu")}
    settings: dict[str, Any] = {"opset_version": opset, "custom_translation_table": own, "verbose": False}
    with _quiet():
        # optimize=True would fold parameters into anonymous constants
        program: Any = torch.onnx.export(module, one, dynamo=True, optimize=False, **settings)
        if _begins_from_more_than_zeros(program.exported_program.graph):
            # Step by step, as recurrent operators begin from zeros: without them torch writes out every step.
            steps = torch.export.export(module, one).run_decompositions()
            program = torch.onnx.export(steps, dynamo=True, optimize=False, **settings)
    if tidy:
        integral = lambda node: all(y.dtype is not None and not y.dtype.is_floating_point() for y in node.outputs)
        fold_constants(program.model, should_fold=integral, onnx_shape_inference=True)
        RemoveUnusedNodesPass()(program.model)
    model: onnx.ModelProto = program.model_proto
    if model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
        double_constants(model, program.exported_program.graph_module)
    without_prefix(model, "module.")
    name_layers(model.graph)
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        item.ClearField("metadata_props")  # stack traces
    return model


def _begins_from_more_than_zeros(graph: torch.fx.Graph) -> bool:
    """Whether a recurrent operator's initial state depends on parameters or inputs."""
    aten = torch.ops.aten
    recurrent = {aten.rnn_tanh.input, aten.rnn_relu.input, aten.gru.input, aten.lstm.input}
    fresh = {aten.new_zeros.default, aten.zeros_like.default, aten.new_full.default, aten.full_like.default}
    for node in graph.nodes:
        if node.target not in recurrent:
            continue
        first = node.args[1]
        next_ = list(first) if isinstance(first, (list, tuple)) else [first]
        while next_:
            made = next_.pop()
            if made.op == "placeholder":
                return True
            next_ += [] if made.target in fresh else made.all_input_nodes
    return False
