"""The trainings that `kpflow train` is compared with: a recurrent layer with a linear readout, by torch alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class LeakyRnn(nn.Module):
    """z_t = (1 − dt) z_{t−1} + dt (W_hh tanh(z_{t−1}) + b_hh + W_ih x_t + b_ih)."""

    def __init__(self, n_in: int, hidden: int, dt: float) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden)
        new = lambda *shape: nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))  # noqa: E731
        self.weight_ih_l0, self.weight_hh_l0 = new(hidden, n_in), new(hidden, hidden)
        self.bias_ih_l0, self.bias_hh_l0 = new(hidden), new(hidden)
        self.dt = dt

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        z, all_z = x.new_zeros(x.shape[0], self.weight_hh_l0.shape[0]), []
        for t in range(x.shape[1]):
            drive = torch.tanh(z) @ self.weight_hh_l0.T + self.bias_hh_l0 + x[:, t] @ self.weight_ih_l0.T + self.bias_ih_l0
            z = (1 - self.dt) * z + self.dt * drive
            all_z.append(z)
        return torch.stack(all_z, 1), None


class Net(nn.Module):
    """y = W h + b of the layer's h."""

    def __init__(self, kind: str, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        leaky = kind == "leaky_rnn"
        self.rnn = LeakyRnn(n_in, hidden, 0.3) if leaky else LAYERS[kind](n_in, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.rnn(x)[0])


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().contiguous() for name, p in net.named_parameters()}


def masked_loss(y: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((y - target) ** 2 * mask[..., None]).sum() / (mask.sum() * target.shape[-1])


def train(net: nn.Module, optimizer, data: tuple[Tensor, Tensor, Tensor], batch: int, steps: int, clip: float | None) -> list[float]:
    """Trains on batches in the order of the data, from the beginning again after its end; returns every step's loss."""
    losses, total = [], data[0].shape[0]
    for step in range(steps):
        rows = [(step * batch + i) % total for i in range(batch)]
        whole = rows[-1] - rows[0] == batch - 1
        x, target, mask = (d[rows[0] : rows[0] + batch] if whole else d[rows] for d in data)
        optimizer.zero_grad()
        loss = masked_loss(net(x), target, mask)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def memory_pro(count: int, periods: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """MemoryPro as kpflow-hpc/src/tasks/memory_pro.rs has it, of torch's random angles."""
    stimulus, memory, response = periods
    angle = 2 * math.pi * torch.rand(count, 1, 2)[..., :1]
    seen = torch.cat([torch.cos(angle), torch.sin(angle)], -1)
    go, steps = stimulus + memory, sum(periods)
    x, y = torch.zeros(count, steps, 3), torch.zeros(count, steps, 3)
    x[:, :go, 0] = y[:, :go, 0] = 1
    x[:, :stimulus, 1:] = seen
    y[:, go:, 1:] = seen
    return x, y, torch.ones(count, steps)
