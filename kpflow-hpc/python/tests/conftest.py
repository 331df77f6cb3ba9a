"""Models in double precision, and their operators by torch.func: dense, one column after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.func import functional_call, jacrev

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def golden() -> Path:
    return ROOT / "tests/golden"


@dataclass
class Dense:
    """The operators of a recurrent layer: NTK = J Jᵀ, J total; K of J with the states before held; P."""

    ntk: torch.Tensor
    parameter: torch.Tensor
    propagator: torch.Tensor
    state: torch.Tensor


def flat(jacobians: Any, n: int) -> torch.Tensor:
    return torch.cat([j.reshape(n, -1) for j in jacobians.values()], 1)


def total(module: torch.nn.Module, state: Callable[[dict[str, torch.Tensor]], torch.Tensor]) -> torch.Tensor:
    """d state/dθ, [n, n_θ], of the parameters that have a gradient."""
    theta = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    return flat(jacrev(state)(theta), state(theta).numel())


def several(h: Any) -> tuple[torch.Tensor, ...]:
    return h if isinstance(h, tuple) else (h,)


def one_step(module: Any, theta: Any, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """All layers' (h, c) after one step: x [B, n_in], z [B, layers · parts · H]."""
    parts = 2 if isinstance(module, torch.nn.LSTM) else 1
    b, layers, hidden = len(x), module.num_layers, module.hidden_size
    h = tuple(z.reshape(b, layers, parts, hidden)[:, :, i].transpose(0, 1).contiguous() for i in range(parts))
    x = x[:, None] if module.batch_first else x[None]
    _, h = functional_call(module, theta, (x, h if parts == 2 else h[0]))
    return torch.stack(several(h), 2).permute(1, 0, 2, 3).reshape(b, -1)


def dense(module: Any, x: torch.Tensor, start: torch.Tensor) -> Dense:
    """Of x [B, T, n_in] and the first state [B, N]; one layer."""
    b, steps, _ = x.shape

    def run(theta: Any) -> torch.Tensor:
        z = [start]
        for t in range(steps):
            z.append(one_step(module, theta, x[:, t], z[-1]))
        return torch.stack(z[1:], 1)

    theta = {name: p.detach() for name, p in module.named_parameters()}
    z = run(theta)
    n = z.numel()

    def constraint(z: torch.Tensor, theta: Any) -> torch.Tensor:
        before = torch.cat([start[:, None], z[:, :-1]], 1).reshape(b * steps, -1)
        return one_step(module, theta, x.reshape(b * steps, -1), before).reshape(z.shape)

    now = total(module, lambda changed: constraint(z, theta | changed))
    moves = torch.eye(n, dtype=z.dtype) - jacrev(constraint)(z, theta).reshape(n, n)
    all_of_it = total(module, lambda changed: run(theta | changed))
    return Dense(all_of_it @ all_of_it.T, now @ now.T, torch.linalg.inv(moves), z)
