"""Candidates to learn: the error signals that their losses make at the state, by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._results import Array

if TYPE_CHECKING:
    from ._models import Model

LOSSES = ("mse", "cross_entropy", "next_token")


def signals(model: Model, tasks: Mapping[str, Any], readout: Any) -> dict[str, Array]:
    """e = ∂L/∂z of each task, [B, T, N]."""
    if not tasks:
        raise ValueError("there is no task: {name: (target, loss, mask)}")
    return {str(name): _signal(model, name, task, readout) for name, task in tasks.items()}


def _signal(model: Model, name: str, task: Any, readout: Any) -> Array:
    import torch

    state = torch.from_numpy(model.state).requires_grad_()
    with torch.enable_grad():
        if not isinstance(task, tuple) and callable(task):
            loss = task(_read(model, readout, state, None))
        elif isinstance(task, tuple):
            target, how, mask = (task + (None, None))[:3]
            loss = _loss(model, name, state, target, how or "mse", mask, readout)
        else:
            return np.asarray(task.detach().cpu() if isinstance(task, torch.Tensor) else task)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise ValueError(f"the loss of task {name} is no single number that depends on the state")
        (error,) = torch.autograd.grad(loss, state)
    found: Array = error.numpy()
    if not found.any():
        raise ValueError(
            f"the error signal of task {name} is zero: its loss is at a minimum, or its mask leaves nothing"
        )
    return found


def _loss(model: Model, name: str, state: Any, target: Any, how: Any, mask: Any, readout: Any) -> Any:
    import torch
    from torch.nn import functional

    target = torch.as_tensor(np.asarray(target) if not isinstance(target, torch.Tensor) else target.detach().cpu())
    if how in ("cross_entropy", "next_token") and target.is_floating_point():
        raise ValueError(f"the target of task {name} holds classes: whole numbers [B, T]")
    output = _read(model, readout, state, None if target.ndim < 3 else target.shape[-1])
    if callable(how):
        each = how(output, target.to(output.dtype) if target.is_floating_point() else target)
    elif how == "mse":
        target = target.to(output.dtype)
        if output.shape != target.shape:
            raise ValueError(f"the target of task {name} is {list(target.shape)}; the output is {list(output.shape)}")
        each = (output - target).square()
    elif how in ("cross_entropy", "next_token"):
        if how == "next_token":
            output, target = output[:, :-1], target[:, 1:]
            mask = None if mask is None else torch.as_tensor(mask)[:, 1:]
        if output.shape[:2] != target.shape:
            raise ValueError(
                f"the target of task {name} is {list(target.shape)}; it is [B, T], {list(output.shape[:2])}"
            )
        each = functional.cross_entropy(output.movedim(-1, 1), target.long(), reduction="none")
    else:
        raise ValueError(
            f"the loss of task {name} is {how}; it is {', '.join(LOSSES)} or a function of output and target"
        )
    if mask is None:
        return each.mean() if each.ndim else each
    mask = torch.as_tensor(mask).to(output.dtype)
    if each.ndim < mask.ndim:
        raise ValueError(
            f"task {name} has a mask, and a loss that is one number already; reduction='none' keeps them apart"
        )
    mask = mask.reshape(mask.shape + (1,) * (each.ndim - mask.ndim)).expand(each.shape)
    return (mask * each).sum() / mask.sum().clamp(min=1)


def _read(model: Model, readout: Any, state: Any, width: int | None) -> Any:
    """What the loss sees: the state, or what a linear layer makes of it."""
    layers = _linear(model)
    if callable(readout):
        return readout(state)
    if readout is None:
        fits = [name for name, layer in layers.items() if _columns(model, layer) is not None]
        if not fits or width == state.shape[-1]:
            return state
        if len(fits) > 1:
            raise ValueError(
                f"several linear layers could read the state: readout= one of {', '.join(fits)}, or a function"
            )
        readout = fits[0]
    if readout not in layers:
        raise ValueError(f"the module has no linear layer {readout}; it has {', '.join(layers) or 'none'}")
    columns = _columns(model, layers[readout])
    if columns is None:
        raise ValueError(
            f"the layer {readout} reads {layers[readout].in_features} units, which no variable of the state has"
        )
    layer = layers[readout]
    y = state[..., columns] @ layer.weight.detach().cpu().to(state.dtype).T
    return y if layer.bias is None else y + layer.bias.detach().cpu().to(state.dtype)


def _linear(model: Model) -> dict[str, Any]:
    import torch

    modules = () if model._module is None else model._module.named_modules()
    return {name: m for name, m in modules if isinstance(m, torch.nn.Linear) and name}


def _columns(model: Model, layer: Any) -> slice | None:
    """Where a variable of the state is that a linear layer can read: the last one of its width."""
    steps, units = model.shape[1:]
    whole = [
        slice(offset, offset + width)
        for offset, stride, positions, width in model.variables.values()
        if positions == steps and stride == units and width == layer.in_features
    ]
    return whole[-1] if whole else None


@dataclass(frozen=True)
class Interference:
    """How learning each task moves the error of each other: `matrix` e_iᵀ A e_j, of the tasks `names`, exactly."""

    operator: str
    names: tuple[str, ...]
    matrix: Array
    matvecs: int

    def to_pandas(self) -> Any:
        """The matrix with the tasks' names."""
        import pandas

        return pandas.DataFrame(self.matrix, self.names, self.names)


def interference(name: str, apply: Callable[[Array], Array], found: Mapping[str, Array]) -> Interference:
    """Of error signals, with a product for each."""
    errors = np.stack([e.reshape(-1) for e in found.values()])
    matrix = errors @ apply(np.ascontiguousarray(errors.T))
    return Interference(name, tuple(found), matrix, len(found))
