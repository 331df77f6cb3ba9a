"""What export_torch.py and export_recurrent.py share: the inputs as they are given, and torch's own outputs beside them.

`kpflow check` compares the model that it runs with those outputs; their attributes say of which weights and inputs they are.
"""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch


def positional(module: torch.nn.Module, inputs: Any) -> tuple[Any, ...]:
    """What forward is called with: tensors, numpy arrays or lists of numbers, one, or a tuple or dictionary of them.

    Floating-point numbers of arrays and lists become those of the module's parameters; whole numbers stay whole; tensors stay
    what they are. A list is one array, such as a list of trials, unless forward needs as many arguments as it has elements.
    """
    if isinstance(inputs, dict):
        inputs = _by_name(module, inputs)
    elif isinstance(inputs, list) and len(inputs) == len(_required(module)) > 1:
        inputs = tuple(inputs)
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(tensor(module, x) for x in several)


def _parameters(module: torch.nn.Module) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in inspect.signature(module.forward).parameters.values() if p.kind in kinds]


def _required(module: torch.nn.Module) -> list[str]:
    return [p.name for p in _parameters(module) if p.default is inspect.Parameter.empty]


def _by_name(module: torch.nn.Module, inputs: dict[str, Any]) -> tuple[Any, ...]:
    names = [p.name for p in _parameters(module)]
    given = [name for name in names if name in inputs]
    foreign = [name for name in inputs if name not in names]
    if foreign or given != names[: len(given)] or not given:
        told = ", ".join(map(str, foreign or inputs)) or "nothing"
        raise ValueError(f"the inputs name {told}; forward takes {', '.join(names)}, and none before another can be left out")
    return tuple(inputs[name] for name in given)


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
        raise ValueError(f"the trials differ in shape ({some}); pad the shorter ones at their end, and give [data] lengths")
    return parts


def array(x: torch.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def crc32(arrays: Sequence[np.ndarray]) -> int:
    """Of inputs, whatever types and files they are kept in: of their numbers in double precision, each array for itself."""
    one = lambda x: zlib.crc32(np.ascontiguousarray(x, dtype="<f8").tobytes())
    return zlib.crc32(b"".join(c.to_bytes(4, "little") for c in sorted(map(one, arrays))))


def in_double(module: torch.nn.Module, batch: tuple[Any, ...]) -> Any:
    """The outputs in double precision, or None where the module does not run in it."""
    double = lambda x: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
    turned = tuple(tuple(map(double, x)) if isinstance(x, tuple) else double(x) for x in batch)
    try:
        with torch.no_grad():
            return copy.deepcopy(module).double()(*turned)
    except Exception:
        return None


def tolerance(outputs: np.ndarray, exact: np.ndarray | None) -> float:
    """How far another program may be from torch's outputs, relative to the largest: ten times what rounding does to them."""
    if outputs.dtype == np.float64:
        return 1e-8
    if exact is None or exact.shape != outputs.shape:
        return 1e-4
    return float(max(1e-6, 10 * np.abs(outputs - exact).max() / max(np.abs(exact).max(), np.finfo("f8").tiny)))


def record(file: h5py.File, outputs: np.ndarray, inputs: Sequence[np.ndarray], weights: Path, within: float) -> None:
    """Write /outputs: what torch made of `inputs` with `weights`, and how far from it is still the same model."""
    if not np.isfinite(outputs).all():
        where = np.argwhere(~np.isfinite(outputs))[0].tolist()
        raise ValueError(f"the output of the module is {outputs[tuple(where)]} at index {where}; every number must be finite")
    made = file.create_dataset("outputs", data=outputs)
    made.attrs["weights_crc32"] = np.int64(zlib.crc32(weights.read_bytes()))
    made.attrs["inputs_crc32"] = np.int64(crc32(inputs))
    made.attrs["tolerance"] = np.float64(within)
