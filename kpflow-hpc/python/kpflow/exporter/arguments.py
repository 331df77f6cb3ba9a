"""What a torch module is called with, and how far two outputs are from each other."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch


def positional(module: torch.nn.Module, inputs: Any) -> tuple[Any, ...]:
    """What forward is called with: tensors, numpy arrays or lists of numbers, one, or a tuple or
    dictionary of them.

    Floating-point numbers of arrays and lists become those of the module's parameters; whole numbers stay whole; tensors stay
    what they are. A list is one array, such as a list of trials, unless forward needs as many arguments as it has elements.
    """
    if isinstance(inputs, dict):
        names = [p.name for p in _parameters(module)]
        given = [name for name in names if name in inputs]
        foreign = [name for name in inputs if name not in names]
        if foreign or given != names[: len(given)] or not given:
            told, takes = ", ".join(map(str, foreign or inputs)) or "nothing", ", ".join(names)
            raise ValueError(f"the inputs name {told}; forward takes {takes}, and none before another can be left out")
        inputs = tuple(inputs[name] for name in given)
    elif isinstance(inputs, list) and len(inputs) == len(_required(module)) > 1:
        inputs = tuple(inputs)
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(tensor(module, x) for x in several)


def _parameters(module: torch.nn.Module) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in inspect.signature(module.forward).parameters.values() if p.kind in kinds]


def _required(module: torch.nn.Module) -> list[str]:
    return [p.name for p in _parameters(module) if p.default is inspect.Parameter.empty]


def tensor(module: torch.nn.Module, x: Any) -> Any:
    """One input as a tensor; what is no array, such as a tuple (h, c), stays, its elements made tensors."""
    if isinstance(x, torch.Tensor) or x is None:
        return x
    if isinstance(x, tuple):
        return tuple(tensor(module, part) for part in x)
    if isinstance(x, list) and x and all(isinstance(part, torch.Tensor) for part in x):
        return torch.stack(_alike(x))
    if isinstance(x, list):
        x = np.asarray(_alike([np.asarray(part) for part in x]))
    if not isinstance(x, np.ndarray):
        if isinstance(x, np.generic | float | int):
            raise TypeError(f"an input is the single number {x}; inputs are arrays whose first axis is the trajectory")
        return x
    if x.dtype.kind not in "fiub":
        raise TypeError(f"an input is an array of {x.dtype}; inputs are numbers")
    # torch takes neither foreign byte orders nor negative strides nor long doubles.
    dtype = np.dtype("f8") if x.dtype.kind == "f" and x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")
    made = torch.from_numpy(np.array(x, dtype=dtype, order="C"))
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
    return made.to(own) if made.is_floating_point() and own is not None else made


def _alike(parts: list[Any]) -> list[Any]:
    shapes = {tuple(p.shape) for p in parts}
    if len(shapes) > 1:
        some = ", ".join(str(list(s)) for s in sorted(shapes)[:3])
        raise ValueError(
            f"the trials differ in shape ({some}); pad the shorter ones at their end, and give [data] lengths"
        )
    return parts


def array(x: torch.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def apart(found: Any, right: Any) -> str:
    """How far two outputs are from each other, in words."""
    found, right = np.asarray(found), np.asarray(right)
    if found.shape != right.shape:
        return f"its shape, {list(found.shape)} for {list(right.shape)}"
    apart = np.abs(found.astype("f8") - right)
    worst = tuple(int(i) for i in np.unravel_index(np.nan_to_num(apart, nan=np.inf).argmax(), apart.shape))
    relative = apart[worst] / max(np.abs(right).max(), np.finfo("f8").tiny)
    return f"{apart[worst]:.2g} at index {list(worst)}, {relative:.2g} of the largest output"


def close(a: np.ndarray, b: np.ndarray) -> bool:
    tolerance = 1e-8 if b.dtype == np.float64 else 1e-4
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    return a.size == 0 or bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())
