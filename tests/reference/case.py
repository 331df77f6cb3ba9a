"""What every reference case is, and its random weights: of a scale at which nothing saturates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

TOLERANCE = 1e-12
Weights = dict[str, Tensor]


@dataclass
class Case:
    """A model with its weights and data; `state` maps θ to [B, T, N]."""

    kind: str
    options: dict
    theta: Weights
    state: Callable[[Weights], Tensor]
    data: Weights  # inputs, initial_state, mask
    constants: Weights = field(default_factory=dict)  # in the checkpoint, but not part of θ


def assert_same(a: Tensor, b: Tensor, what: str) -> None:
    error = ((a - b).abs().max() / b.abs().max()).item()
    assert a.shape == b.shape and error < TOLERANCE, f"{what}: {tuple(a.shape)} {tuple(b.shape)} differ by {error:.1e}"


def matrix(rows: int, *columns: int) -> Tensor:
    return torch.randn(rows, *columns) / math.sqrt(math.prod(columns))


def vector(size: int) -> Tensor:
    return 0.1 * torch.randn(size)


def linear(name: str, n_in: int, n_out: int) -> Weights:
    return {f"{name}.weight": matrix(n_out, n_in), f"{name}.bias": vector(n_out)}


def conv1d(name: str, n_in: int, n_out: int) -> Weights:
    """Hugging Face's Conv1D: a linear map stored transposed."""
    return {f"{name}.weight": matrix(n_out, n_in).T.contiguous(), f"{name}.bias": vector(n_out)}


def norm(name: str, size: int) -> Weights:
    return {f"{name}.weight": 1 + vector(size), f"{name}.bias": vector(size)}
