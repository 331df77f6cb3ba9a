"""What export_torch.py and export_recurrent.py share: the inputs as they are given, and torch's own outputs beside them.

`kpflow check` compares the model that it runs with those outputs; their attributes say of which weights and inputs they are.
"""

from __future__ import annotations

import copy
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

# The part of the Python package that is torch's alone, which needs no installation.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kpflow-hpc/python/kpflow"))
from exporter.arguments import array, positional, tensor  # noqa: E402

__all__ = ["array", "positional", "tensor", "crc32", "in_double", "record", "tolerance"]


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
