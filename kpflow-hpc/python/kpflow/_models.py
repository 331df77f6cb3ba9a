"""Models: a module, a checkpoint or a job on its inputs, linearised."""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import _kpflow
from ._any import exported
from ._arrays import held, is_torch
from ._jacobian import Jacobian
from ._modules import describe, is_module
from ._operators import Operator
from ._results import Array

_PRECISIONS = {"f64": "f64", "float64": "f64", "f32": "f32", "float32": "f32"}
Files = list[tuple[str, list[tuple[str, str, list[int], bytes]] | bytes]]
_SYMMETRIC = {o["name"]: o["symmetric"] for o in json.loads(_kpflow.quantities())["operators"]}


class Model:
    """A model that was linearised on its inputs; `linearize` and `load` make it. It is a thread of its own.

    `kind`, `parameters` (n_θ), `shape` [B, T, N] of the state, `variables` (name: offset, stride, positions,
    width), `lengths`
    (steps of each trajectory, where they differ), `seed`, `threads`, `block` (vectors that products are fast
    with, at once)
    and `warnings` say what it is.
    """

    def __init__(self, model: _kpflow.Model, weights: str, module: Any = None) -> None:
        self._model = model
        self._module = module
        self._weights = weights
        facts = json.loads(model.facts())
        self.kind: str = facts["kind"]
        self.parameters: int = facts["parameters"]
        self.shape: tuple[int, int, int] = tuple(facts["shape"])
        self.variables: dict[str, tuple[int, int, int, int]] = {name: tuple(at) for name, at in facts["variables"]}
        self.lengths: list[int] | None = facts["lengths"]
        self.dtype = np.dtype(facts["dtype"])
        self.seed: int = facts["seed"]
        self.threads: int = facts["threads"]
        self.block: int = facts["block"]
        self.warnings: list[str] = facts["warnings"]
        self._operators: dict[str, tuple[int, int, int]] = {name: tuple(shape) for name, shape in facts["operators"]}

    def __repr__(self) -> str:
        return f"<kpflow model: {self.kind} with {self.parameters} parameters, state {list(self.shape)}, {self.dtype}>"

    def operator(self, name: str) -> Operator:
        """The operator that the job file calls so. Raises ValueError where this model does not have it."""
        if name not in self._operators:
            hint = (
                ": it is for models whose weights all act once a step, as matrices; take parameter"
                if name == "core"
                else ""
            )
            raise ValueError(f"this model has no operator {name}{hint}; it has {', '.join(self._operators)}")
        return Operator(self, name, self._operators[name], _SYMMETRIC[name])

    @property
    def ntk(self) -> Operator:
        """NTK = P K Pᵀ: how a step of gradient descent moves the state, of error signals at the state."""
        return self.operator("ntk")

    @property
    def parameter(self) -> Operator:
        """K = J Jᵀ, J = ∂F/∂θ: what the weights can move at once."""
        return self.operator("parameter")

    @property
    def propagator(self) -> Operator:
        """P = (I − ∂F/∂z)⁻¹: how one state moves the next. Not symmetric."""
        return self.operator("propagator")

    @property
    def propagator_gram(self) -> Operator:
        """P Pᵀ."""
        return self.operator("propagator_gram")

    @property
    def constraint(self) -> Operator:
        """P⁻¹ = I − ∂F/∂z. Not symmetric."""
        return self.operator("constraint")

    @property
    def core(self) -> Operator:
        """The Kronecker core Σ U Uᵀ over weight sites, on positions, `[B, T, 1]`."""
        return self.operator("core")

    @property
    def jacobian(self) -> Jacobian:
        """dz/dθ, `[n, n_θ]`: how a change of the parameters moves the state. Not square: products only."""
        return Jacobian(self)

    @property
    def state(self) -> Array:
        """The state z, `[B, T, N]`."""
        numbers = np.frombuffer(self._model.state(), self.dtype)
        return numbers.reshape(self.shape).copy()


def linearize(
    model: Any,
    inputs: Any = None,
    *,
    kind: str | None = None,
    prefix: str = "",
    initial_state: Any = None,
    lengths: Any = None,
    mask: Any = None,
    dtype: Any = None,
    seed: int = 0,
    block: int | None = None,
    threads: int | None = None,
    **keys: Any,
) -> Model:
    """Run a model on inputs, and linearise it there.

    `model`: any torch module: nn.RNN, nn.GRU, nn.LSTM, their cells, nn.Sequential of linear layers, norms, activations
        as native kinds, others through torch's exporter (onnx and onnxscript are needed), parameters under their own
        names, the state that of recurrent layers and loops, if there are any, else the output; or, with its `kind`, a checkpoint's path, a state_dict, or a module whose state_dict has it behind `prefix`;
        or an ONNX graph, as export of scripts/export_torch.py returns it, or its bytes.
    `inputs`: numpy, torch or a list. For a module as it takes them itself ([T, B, n_in] of an nn.GRU unless its batch
        comes first; of a cell all steps, [B, T, n_in]; of several arguments a tuple, or a dictionary by name), else as the job file has them, the trajectory first; or a file,
        "FILE[:DATASET]"; of a graph perhaps a dictionary by name.
    `initial_state`: as the module takes it ([layers · directions, B, H], or two of it), or [B, numbers].
    `lengths`, `mask`: where trajectories end, as in the job file.
    `dtype`: float64, unless float32 is said, whatever the numbers of the weights are.
    `seed`: of all random numbers. `block`: vectors carried through at once. `threads`: all cores, unless said.
    `keys`: those of [model] in the job file: parameters, state, readout, activation, dt, layers, heads …

    Parameters of a module without requires_grad are no part of θ, unless `parameters` names them.

    Raises ValueError where the model, an array or a key is wrong, RuntimeError where the run fails. What to know before
    trusting a number is a warning.
    """
    section: dict[str, Any] = {"prefix": prefix} if prefix else {}
    files: Files = []
    outputs: Any = None
    if is_module(model):
        described = describe(model, kind, prefix) or exported(model, inputs, _precision(dtype), keys)
        section |= described.model
        called, tensors, graph, outputs = "module", described.tensors, described.graph, described.outputs
        if inputs is not None and not _is_path(inputs):
            inputs = described.inputs(inputs if tensors is None else _numbers(inputs))
        if initial_state is not None and not _is_path(initial_state) and not _is_flat(initial_state):
            if described.initial is None:
                raise ValueError("an initial state of this module is one of its inputs: inputs=(x, h0)")
            initial_state = described.initial(initial_state)
    else:
        called, tensors, graph = "state_dict", model if isinstance(model, Mapping) else None, _graph(model)
    if tensors is not None:
        files.append((called, [(name, *held(x)) for name, x in tensors.items()]))
    elif graph is not None:
        called, kind = "graph", kind or "onnx"
        files.append((called, graph))
    elif _is_path(model):
        called = os.path.abspath(os.fspath(model))
    else:
        name = type(model).__name__
        raise ValueError(
            f"{name} is no model; it is a torch module, a state_dict, a checkpoint's path, or an ONNX graph"
        )
    section |= {"weights": called} | ({"kind": kind} if kind is not None else {})
    if "kind" not in section:
        hint = 'say kind="gru", for example; kpflow info FILE tells which fit'
        raise ValueError(f"a checkpoint does not say what it is a model of; {hint}")
    section |= {key: value for key, value in keys.items() if value is not None}

    given = {"inputs": inputs, "initial_state": initial_state, "lengths": lengths, "mask": mask, "outputs": outputs}
    data = {name: _given(name, x, files) for name, x in given.items() if x is not None}
    compute: dict[str, Any] = {"seed": seed, "precision": _precision(dtype)} | ({"block": block} if block else {})
    job = json.dumps({"model": section, "data": data, "compute": compute}, default=_plain)
    made = _kpflow.Model(job, None, files, threads)
    where = called if _is_path(model) else str(made.place(called))
    return _told(Model(made, where, model if is_module(model) else None))


def load(job: str | os.PathLike[str], *, threads: int | None = None) -> Model:
    """Linearise the model of a job file on its inputs; its analyses are not made.

    Raises ValueError where the job or a file is wrong, RuntimeError where the run fails.
    """
    path = Path(job).absolute()
    try:
        said = tomllib.loads(path.read_text())
    except OSError as e:
        raise ValueError(f"{job}: cannot be read: {e.strerror}") from e
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"{job}: is not TOML: {e}") from e
    for section in ("analysis", "output"):
        said.pop(section, None)
    said.get("data", {}).pop("other_inputs", None)
    made = _kpflow.Model(json.dumps(said, default=str), str(path), [], threads)
    weights = said.get("model", {}).get("weights", "")
    return _told(Model(made, str(path.parent / str(weights))))


def ntk(model: Any, inputs: Any = None, **keys: Any) -> Operator:
    """The NTK of a model on inputs: `linearize(model, inputs, …).ntk`."""
    return linearize(model, inputs, **keys).ntk


def _told(model: Model) -> Model:
    for message in model.warnings:
        warnings.warn(message, stacklevel=3)
    return model


def _numbers(x: Any) -> Any:
    """An array of numpy or torch."""
    return x if is_torch(x) or isinstance(x, (np.ndarray, Mapping)) else np.asarray(x)


def _is_flat(h: Any) -> bool:
    """Whether it is an initial state as a job has it, [B, numbers], and a cell's h is too."""
    return not isinstance(h, (tuple, list)) and h.ndim == 2


def _is_path(x: Any) -> bool:
    return isinstance(x, (str, os.PathLike))


def _graph(x: Any) -> bytes | None:
    """The bytes of an ONNX graph, if it is one."""
    found = x.SerializeToString() if hasattr(x, "SerializeToString") else x
    return bytes(found) if isinstance(found, (bytes, bytearray)) else None


def _given(name: str, x: Any, files: Files) -> Any:
    """An array under its name, or the file that it is in; of several, by their names."""
    if isinstance(x, Mapping):
        return {key: _given(f"{name}.{key}", value, files) for key, value in x.items()}
    if _is_path(x):
        return os.path.abspath(os.fspath(x))
    files.append((name, [(name, *held(_numbers(x)))]))
    return name


def _precision(dtype: Any) -> str:
    word = "f64" if dtype is None else str(dtype).removeprefix("torch.")
    if word not in _PRECISIONS:
        try:
            word = np.dtype(dtype).name
        except TypeError:
            pass
    if word not in _PRECISIONS:
        raise ValueError(f"dtype is {dtype}; it is float64, or float32")
    return _PRECISIONS[word]


def _plain(x: Any) -> Any:
    if isinstance(x, (np.generic, np.ndarray)):
        return x.tolist()
    raise ValueError(f"{x!r} is nothing that a job can say")
