"""What a torch module is as a model of a job: its kind, its keys, its tensors, its inputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = Mapping[str, Any]


@dataclass
class Described:
    """A module as a job has it: keys of [model]; tensors by name, or a graph; how its inputs and initial state are
    turned; what torch makes of the inputs, which the model is compared with."""

    model: dict[str, Any]
    tensors: Tensors | None = None
    graph: bytes | None = None
    inputs: Callable[[Any], Any] = lambda x: x
    initial: Callable[[Any], Any] | None = None
    outputs: Any = None


def is_module(x: Any) -> bool:
    """Whether it is a torch.nn.Module; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.nn.Module)


def describe(module: Any, kind: str | None, prefix: str) -> Described | None:
    """What a module is, by its type; of a given kind, what its state_dict holds behind the prefix. None where no kind
    but a graph has it."""
    nn = sys.modules["torch"].nn
    tensors = dict(module.state_dict())
    found: Described | None
    if kind is not None:
        found = Described({"kind": kind}, tensors)
    elif type(module) in (nn.RNN, nn.GRU, nn.LSTM):
        found = _recurrent(module, tensors)
    elif type(module) in (nn.RNNCell, nn.GRUCell, nn.LSTMCell):
        found = _cell(module, tensors)
    elif type(module) is nn.Sequential:
        found = _sequential(module, tensors)
    else:
        return None
    if found is None or (kind is None and _tied(module)):
        return None
    trained = _trained(module, prefix)
    if trained is not None:
        found.model["parameters"] = trained
    return found


def _trained(module: Any, prefix: str) -> list[str] | None:
    """The parameters that have a gradient, where others have none."""
    named = dict(module.named_parameters(remove_duplicate=False))
    if _tied(module):
        raise ValueError(
            "two parameters of the module are one tensor, which this kind would take for two; without kind= the module "
            "is read through torch's exporter, and they are one"
        )
    named = {name: p for name, p in named.items() if name.startswith(prefix)}
    trained = [name for name, p in named.items() if p.requires_grad]
    if named and not trained:
        raise ValueError(
            "no parameter of the module has requires_grad; call module.requires_grad_(), or name parameters="
        )
    return None if len(trained) == len(named) else trained


def _tied(module: Any) -> bool:
    """Whether some parameters are one tensor."""
    return len(list(module.parameters())) < len(list(module.named_parameters(remove_duplicate=False)))


def _kind(module: Any) -> dict[str, Any]:
    name = type(module).__name__.removesuffix("Cell").lower()
    relu = getattr(module, "nonlinearity", "tanh") == "relu"
    return {"kind": name} | ({"activation": "relu"} if relu else {})


def _recurrent(module: Any, tensors: Tensors) -> Described:
    if module.training and module.dropout > 0 and module.num_layers > 1:
        raise ValueError(
            "the module is in training mode, in which its dropout is another one each time; call module.eval()"
        )
    model = _kind(module) | {"layers": module.num_layers, "bidirectional": module.bidirectional}

    def inputs(x: Any) -> Any:
        # As the module takes it: [T, n_in], or [T, B, n_in] unless its batch comes first.
        if x.ndim == 2:
            return x[None]
        return x if module.batch_first or x.ndim != 3 else x.swapaxes(0, 1)

    return Described(model, tensors, inputs=inputs, initial=_initial)


def _cell(module: Any, tensors: Tensors) -> Described:
    def initial(h: Any) -> Any:
        return _initial(tuple(part[None] for part in _several(h)))

    return Described(_kind(module), tensors, initial=initial)


def _several(h: Any) -> tuple[Any, ...]:
    """h, or h and c."""
    return tuple(h) if isinstance(h, (tuple, list)) else (h,)


def _initial(h: Any) -> Any:
    """An initial state as the module takes it, [layers · directions, B, H] or two of it, as [B, numbers]."""
    parts = [
        np.asarray(part.detach().cpu().double().numpy() if hasattr(part, "detach") else part) for part in _several(h)
    ]
    parts = [part[:, None] if part.ndim == 2 else part for part in parts]
    both = np.stack(parts)
    return both.transpose(2, 1, 0, 3).reshape(both.shape[2], -1)


def _sequential(module: Any, tensors: Tensors) -> Described | None:
    nn = sys.modules["torch"].nn
    plain = {
        nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.SiLU: "silu", nn.Identity: "identity",
        nn.Dropout: "dropout", nn.LayerNorm: "layernorm", nn.BatchNorm1d: "batchnorm",
        nn.PReLU: "prelu", nn.Flatten: "flatten",
    }  # fmt: skip
    if hasattr(nn, "RMSNorm"):
        plain[nn.RMSNorm] = "rmsnorm"
    modules: dict[str, str] = {}
    eps = set()
    linear = 0
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            linear += 1
            continue
        word = plain.get(type(child))
        if type(child) is nn.GELU:
            word = "gelu" if child.approximate == "none" else "gelu_tanh"
        if type(child) is nn.Softplus and (child.beta, child.threshold) == (1, 20):
            word = "softplus"
        if word is None or (word in ("layernorm", "rmsnorm") and len(child.normalized_shape) != 1):
            return None
        if child.training and (word == "batchnorm" or (word == "dropout" and child.p > 0)):
            raise ValueError(f"module {name} of the nn.Sequential, {child}, is in training mode; call module.eval()")
        if word == "batchnorm" and child.running_mean is None:
            raise ValueError(
                f"module {name} of the nn.Sequential has no running statistics: its rows are no functions by themselves"
            )
        if word in ("layernorm", "rmsnorm", "batchnorm") and child.eps is not None:
            eps.add(child.eps)
        modules[name] = word
    if not linear:
        return None
    if len(eps) > 1:
        return None
    # Where nothing is said between two layers there is nothing.
    model: dict[str, Any] = {"kind": "mlp", "activation": "linear"}
    model |= {"modules": modules} if modules else {}
    model |= {"eps": eps.pop()} if eps else {}

    def inputs(x: Any) -> Any:
        return x.reshape(x.shape[0], -1) if type(module[0]) is nn.Flatten else x

    return Described(model, tensors, inputs=inputs)
