"""Arrays of numpy and torch, as the library reads them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ._results import Array

# What safetensors call the types of numbers.
_TYPES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip


def is_torch(x: Any) -> bool:
    """Whether it is a torch tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def to_numpy(x: Any) -> Array:
    """A tensor as a numpy array, of the same numbers."""
    x = x.detach().cpu()
    found: Array = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    return found


def tensor(y: Array, like: Any) -> Any:
    """A numpy array as a tensor on the device and of the type of another."""
    torch = sys.modules["torch"]
    dtype = like.dtype if like.is_floating_point() else None
    return torch.from_numpy(np.ascontiguousarray(y)).to(device=like.device, dtype=dtype)


def held(x: Any) -> tuple[str, list[int], bytes]:
    """An array of any kind as it is handed over: type, shape, bytes."""
    if is_torch(x):
        x = x.detach().cpu().contiguous()
        if str(x.dtype) == "torch.bfloat16":
            return "BF16", list(x.shape), x.view(sys.modules["torch"].int16).numpy().tobytes()
        x = x.numpy()
    x = np.asarray(x)
    kind = f"{x.dtype.kind}{x.dtype.itemsize}"
    if kind not in _TYPES:
        raise ValueError(f"an array of {x.dtype} is not read; it should hold numbers, such as float32 or float64")
    x = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
    return _TYPES[kind], list(x.shape), x.tobytes()
