"""Recurrent nets, checked against torch.nn.

A cell maps (x_t, its state) to its state; the first H numbers of the state are what is read above it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from case import Case, Weights, assert_same, matrix, vector
from torch import Tensor, nn


def rnn_cell(p: Weights, x: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"])


def rnn_relu_cell(p: Weights, x: Tensor, h: Tensor) -> Tensor:
    return F.relu(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"])


def gru_cell(p: Weights, x: Tensor, h: Tensor) -> Tensor:
    xr, xz, xn = (x @ p["weight_ih"].T + p["bias_ih"]).chunk(3, -1)
    hr, hz, hn = (h @ p["weight_hh"].T + p["bias_hh"]).chunk(3, -1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


def lstm_cell(p: Weights, x: Tensor, state: Tensor) -> Tensor:
    h, c = state.chunk(2, -1)
    i, f, g, o = (x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], -1)


def leaky_cell(dt: float) -> Callable:
    def cell(p: Weights, x: Tensor, z: Tensor) -> Tensor:
        return (1 - dt) * z + dt * (torch.tanh(z) @ p["weight_hh"].T + x @ p["weight_ih"].T)

    return cell


def recurrent(
    kind: str,
    options: dict,
    cell: Callable,
    sizes: tuple[int, int, int, int],
    gates: int = 1,
    parts: int = 1,
    bias: bool = True,
    initial: bool = False,
    read: Callable[[Tensor], Tensor] = lambda h: h,
    check: type[nn.RNNBase] | None = None,
    lengths: list[int] | None = None,
) -> Case:
    """sizes: B, T, n_in, H. parts: how many vectors of H the state of a cell is (2 for the lstm).

    lengths: the steps of each trajectory, of which the others have inputs that must not be read, and states of zero.
    """
    b, t, n_in, h = sizes
    layers, directions = options.get("layers", 1), 1 + options.get("bidirectional", False)
    suffixes = [[f"_l{i}" + "_reverse" * d for d in range(directions)] for i in range(layers)]
    theta = {}
    for i, layer in enumerate(suffixes):
        for s in layer:
            theta[f"weight_ih{s}"] = matrix(gates * h, n_in if i == 0 else directions * h)
            theta[f"weight_hh{s}"] = matrix(gates * h, h)
            if bias:
                theta[f"bias_ih{s}"], theta[f"bias_hh{s}"] = vector(gates * h), vector(gates * h)
    data = {"inputs": torch.randn(b, t, n_in)}
    n = layers * directions * parts * h
    start = 0.5 * torch.randn(b, n) if initial else torch.zeros(b, n)
    if initial:
        data["initial_state"] = start

    def one(p: Weights, x: Tensor, first: Tensor) -> Tensor:
        starts, states, steps = iter(first.split(parts * h, -1)), [], x.shape[1]
        for layer in suffixes:
            outputs = []
            for d, s in enumerate(layer):
                own = {k.removesuffix(s): v for k, v in p.items() if k.endswith(s)}
                z, at = next(starts), [None] * steps
                for step in reversed(range(steps)) if d == 1 else range(steps):
                    at[step] = z = cell(own, x[:, step], z)
                states.append(torch.stack(at, 1))
                outputs.append(read(states[-1][..., :h]))
            x = torch.cat(outputs, -1)
        return torch.cat(states, -1)

    def state(p: Weights) -> Tensor:
        if lengths is None:
            return one(p, data["inputs"], start)
        # Each trajectory by itself, up to its own end.
        own = [one(p, data["inputs"][i : i + 1, :steps], start[i : i + 1]) for i, steps in enumerate(lengths)]
        return torch.cat([F.pad(z, (0, 0, 0, t - z.shape[1])) for z in own])

    if lengths is not None:
        data["lengths"] = torch.tensor(lengths)
        for row, steps in zip(data["inputs"], lengths):
            row[steps:] = torch.nan
        if check is not None:
            assert_packed(check, (n_in, h, layers, directions), theta, data["inputs"], start, state(theta), parts)
    elif check is not None:
        extra = {"nonlinearity": "relu"} if check is nn.RNN else {}
        net = check(n_in, h, layers, batch_first=True, bidirectional=directions == 2, **extra)
        net.load_state_dict(theta)
        # [B, N] → for h, and for c, [layers · directions, B, H].
        first = [v.contiguous() for v in start.view(b, layers * directions, parts, h).permute(2, 1, 0, 3)]
        with torch.no_grad():
            output, last = net(data["inputs"], tuple(first) if parts == 2 else first[0])
        ours = state(theta).view(b, t, layers, directions, parts, h)
        assert_same(ours[:, :, -1, :, 0].flatten(2), output, f"{kind} output")
        for k, v in enumerate(last if parts == 2 else [last]):
            ends = [ours[:, 0 if d else -1, :, d, k] for d in range(directions)]  # reverse ends at position 0
            assert_same(torch.stack(ends, 2).flatten(1, 2).transpose(0, 1), v, f"{kind} final state {k}")
    return Case(kind, options, theta, state, data)


def assert_packed(
    check: type[nn.RNNBase],
    sizes: tuple[int, int, int, int],
    theta: Weights,
    inputs: Tensor,
    start: Tensor,
    ours: Tensor,
    parts: int,
) -> None:
    """The state against torch's own packed sequences."""
    n_in, h, layers, directions = sizes
    b, t = inputs.shape[:2]
    lengths = [int((z.abs().sum(-1) > 0).sum()) for z in ours]
    net = check(n_in, h, layers, batch_first=True, bidirectional=directions == 2)
    net.load_state_dict(theta)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    first = [v.contiguous() for v in start.view(b, layers * directions, parts, h).permute(2, 1, 0, 3)]
    with torch.no_grad():
        output, _ = net(packed, tuple(first) if parts == 2 else first[0])
    output, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=t)
    top = ours.view(b, t, layers, directions, parts, h)[:, :, -1, :, 0].flatten(2)
    assert_same(top, output, f"{check.__name__} packed")


def rnn_stacked() -> Case:
    return recurrent("rnn", {"activation": "relu", "layers": 2}, rnn_relu_cell, (3, 5, 2, 4), check=nn.RNN)


def gru_stacked() -> Case:
    return recurrent("gru", {"layers": 2}, gru_cell, (2, 6, 3, 4), gates=3, initial=True, check=nn.GRU)


def lstm_stacked() -> Case:
    return recurrent("lstm", {"layers": 2}, lstm_cell, (2, 5, 4, 3), gates=4, parts=2, check=nn.LSTM)


def gru_bidirectional() -> Case:
    return recurrent("gru", {"bidirectional": True}, gru_cell, (3, 6, 2, 4), gates=3, check=nn.GRU)


def lstm_stacked_bidirectional() -> Case:
    options = {"layers": 2, "bidirectional": True}
    return recurrent("lstm", options, lstm_cell, (2, 5, 4, 3), gates=4, parts=2, initial=True, check=nn.LSTM)


def leaky_rnn_stacked() -> Case:
    options = {"dt": 0.3, "layers": 2}
    return recurrent("leaky_rnn", options, leaky_cell(0.3), (4, 6, 3, 5), bias=False, read=torch.tanh)


def rnn_lengths() -> Case:
    sizes = (4, 6, 2, 4)
    return recurrent("rnn", {"activation": "tanh"}, rnn_cell, sizes, initial=True, check=nn.RNN, lengths=[4, 6, 1, 3])


def leaky_rnn_lengths() -> Case:
    options = {"dt": 0.3, "layers": 2}
    return recurrent(
        "leaky_rnn", options, leaky_cell(0.3), (3, 6, 3, 4), bias=False, read=torch.tanh, lengths=[2, 5, 6]
    )


def gru_lengths() -> Case:
    return recurrent("gru", {}, gru_cell, (5, 7, 3, 4), gates=3, check=nn.GRU, lengths=[3, 7, 5, 2, 5])


def gru_stacked_lengths() -> Case:
    options, lengths = {"layers": 2}, [6, 2, 4]
    return recurrent("gru", options, gru_cell, (3, 6, 2, 3), gates=3, initial=True, check=nn.GRU, lengths=lengths)


def lstm_lengths() -> Case:
    return recurrent("lstm", {}, lstm_cell, (4, 5, 3, 3), gates=4, parts=2, check=nn.LSTM, lengths=[5, 2, 1, 4])


def gru_bidirectional_lengths() -> Case:
    options, lengths = {"bidirectional": True}, [2, 6, 5]
    return recurrent("gru", options, gru_cell, (3, 6, 2, 3), gates=3, initial=True, check=nn.GRU, lengths=lengths)


def lstm_stacked_bidirectional_lengths() -> Case:
    options, lengths = {"layers": 2, "bidirectional": True}, [5, 3, 1]
    sizes = (3, 5, 4, 2)
    return recurrent(
        "lstm", options, lstm_cell, sizes, gates=4, parts=2, initial=True, check=nn.LSTM, lengths=lengths
    )
