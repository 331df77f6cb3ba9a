"""Modules as the field writes them by hand, with no thought of kpflow. `start` and `step` say what a recurrent one's state is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from convolutional import Separable, TemporalConvolution, TinyResNet
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

BATCH, STEPS, IN, HIDDEN, OUT = 3, 4, 2, 5, 2


class Recurrent(nn.Module):
    """A loop over time, of which the output is the state, or what a readout makes of it."""

    units = HIDDEN

    def start(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, self.units)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, outputs = self.start(x.shape[0]), []
        for t in range(x.shape[1]):
            h = self.step(x[:, t], h)
            outputs.append(self.out(torch.tanh(h)) if hasattr(self, "out") else h)
        return torch.stack(outputs, 1)


class Leaky(Recurrent):
    def __init__(self, inside: bool) -> None:
        super().__init__()
        self.w_in, self.w, self.out = (
            nn.Linear(IN, HIDDEN),
            nn.Linear(HIDDEN, HIDDEN, bias=False),
            nn.Linear(HIDDEN, OUT),
        )
        self.inside = inside

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        drive = torch.tanh(self.w(h) + self.w_in(x)) if self.inside else self.w(torch.tanh(h)) + self.w_in(x)
        return 0.7 * h + 0.3 * drive


class LowRank(Recurrent):
    def __init__(self, formed: bool) -> None:
        super().__init__()
        self.m, self.n = nn.Parameter(torch.randn(HIDDEN, 2)), nn.Parameter(torch.randn(HIDDEN, 2))
        self.w_in, self.out = nn.Parameter(torch.randn(IN, HIDDEN)), nn.Linear(HIDDEN, OUT)
        self.formed = formed

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        r = torch.tanh(h)
        moved = r @ (self.m @ self.n.T).T if self.formed else r @ self.n @ self.m.T
        return h + 0.2 * (moved / HIDDEN - h + x @ self.w_in)


class Dale(Recurrent):
    """Excitatory and inhibitory units, whose signs stay; the last state is returned too."""

    def __init__(self, rectified: bool) -> None:
        super().__init__()
        self.w, self.w_in = nn.Parameter(0.4 * torch.randn(HIDDEN, HIDDEN)), nn.Linear(IN, HIDDEN)
        self.register_buffer("sign", torch.diag(torch.tensor([1.0, 1, 1, -1, -1])))
        self.rectified = rectified

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        w = (torch.relu(self.w) if self.rectified else self.w.abs()) @ self.sign
        return torch.relu(0.8 * h + 0.2 * (functional.linear(h, w) + self.w_in(x)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        all_of_it = super().forward(x)
        return all_of_it, all_of_it[:, -1]


class Masked(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.w_in = nn.Parameter(0.4 * torch.randn(HIDDEN, HIDDEN)), nn.Linear(IN, HIDDEN)
        self.register_buffer("mask", (torch.rand(HIDDEN, HIDDEN) > 0.4).float())

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(functional.linear(h, self.w * self.mask) + self.w_in(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, outputs = x.new_zeros(x.shape[0], HIDDEN), []
        for now in x.unbind(1):
            h = self.step(now, h)
            outputs.append(h)
        return torch.stack(outputs, 1)


class TrainedStart(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.h0, self.cell, self.out = nn.Parameter(torch.randn(HIDDEN)), nn.GRUCell(IN, HIDDEN), nn.Linear(HIDDEN, OUT)

    def start(self, batch: int) -> torch.Tensor:
        return self.h0.expand(batch, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return self.cell(x, h)


class Multiplicative(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v, self.w, self.b = (nn.Linear(n, HIDDEN) for n in (IN, HIDDEN, HIDDEN, IN))

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.w(self.u(x) * self.v(h)) + self.b(x))


class MinimalGated(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.forget, self.candidate = nn.Linear(IN + HIDDEN, HIDDEN), nn.Linear(IN + HIDDEN, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        f = torch.sigmoid(self.forget(torch.cat([x, h], -1)))
        return (1 - f) * h + f * torch.tanh(self.candidate(torch.cat([x, f * h], -1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, -1]


class LinearRecurrentUnit(Recurrent):
    """Complex and diagonal, in real numbers."""

    units = 2 * HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.nu, self.theta = nn.Parameter(torch.randn(HIDDEN)), nn.Parameter(torch.rand(HIDDEN))
        self.b_re, self.b_im = nn.Linear(IN, HIDDEN, bias=False), nn.Linear(IN, HIDDEN, bias=False)
        self.c = nn.Linear(2 * HIDDEN, OUT)

    def turned(self) -> tuple[torch.Tensor, torch.Tensor]:
        size = torch.exp(-torch.exp(self.nu))
        return size * torch.cos(self.theta), size * torch.sin(self.theta)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        (c, s), (re, im) = self.turned(), h.chunk(2, -1)
        return torch.cat([c * re - s * im + self.b_re(x), s * re + c * im + self.b_im(x)], -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (c, s), outputs = self.turned(), []
        re = im = torch.zeros(x.shape[0], HIDDEN)
        for t in range(x.shape[1]):
            re, im = c * re - s * im + self.b_re(x[:, t]), s * re + c * im + self.b_im(x[:, t])
            outputs.append(self.c(torch.cat([re, im], -1)))
        return torch.stack(outputs, 1)


class Normed(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.w, self.w_in = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(IN, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.norm(self.w(h) + self.w_in(x)))


class Memory(Recurrent):
    """Attention over a memory, with one matrix for keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.Parameter(0.5 * torch.randn(6, HIDDEN))
        self.w, self.w_in = nn.Linear(HIDDEN, HIDDEN), nn.Linear(IN, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        read = torch.softmax(h @ self.memory.T, -1) @ self.memory
        return torch.tanh(self.w(h) + read + self.w_in(x))


class TwoAreas(Recurrent):
    """Of which the second is the output: the first area's last state has nobody to read it."""

    units = 2 * HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.w_in = nn.Linear(IN, HIDDEN)
        self.aa, self.ab, self.ba, self.bb = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))

    def both(self, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tanh(self.w_in(x) + self.aa(a) + self.ba(b)), torch.tanh(self.ab(a) + self.bb(b))

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.both(x, *h.chunk(2, -1)), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, outputs = torch.zeros(x.shape[0], HIDDEN), torch.zeros(x.shape[0], HIDDEN), []
        for t in range(x.shape[1]):
            a, b = self.both(x[:, t], a, b)
            outputs.append(b)
        return torch.stack(outputs, 1)


class Plasticity(Recurrent):
    """Short-term plasticity: use and resources of synapses beside the rates."""

    units = 3 * HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.w, self.w_in = nn.Linear(HIDDEN, HIDDEN), nn.Linear(IN, HIDDEN)

    def start(self, batch: int) -> torch.Tensor:
        return torch.cat([torch.zeros(batch, HIDDEN), torch.full((batch, HIDDEN), 0.2), torch.ones(batch, HIDDEN)], -1)

    def all_of_it(self, x: torch.Tensor, h: torch.Tensor, u: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, ...]:
        r = torch.sigmoid(h)
        return (
            h + 0.2 * (self.w(u * d * r) + self.w_in(x) - h),
            u + 0.1 * (0.2 - u + 0.2 * (1 - u) * r),
            d + 0.1 * (1 - d - u * d * r),
        )

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.all_of_it(x, *h.chunk(3, -1)), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, u, d = self.start(x.shape[0]).chunk(3, -1)
        outputs = []
        for t in range(x.shape[1]):
            h, u, d = self.all_of_it(x[:, t], h, u, d)
            outputs.append(torch.sigmoid(h))
        return torch.stack(outputs, 1)


class WeightNormed(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.w_in = weight_norm(nn.Linear(HIDDEN, HIDDEN)), nn.Linear(IN, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.w(h) + self.w_in(x))


class RungeKutta(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(HIDDEN + IN, 6), nn.Tanh(), nn.Linear(6, HIDDEN))

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        def slope(h: torch.Tensor) -> torch.Tensor:
            return self.f(torch.cat([h, x], -1))

        k1 = slope(h)
        k2 = slope(h + 0.05 * k1)
        k3 = slope(h + 0.05 * k2)
        return h + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + slope(h + 0.1 * k3))


class LstmCells(Recurrent):
    """h is made of c in the same step."""

    units = 2 * HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.readout = nn.LSTMCell(IN, HIDDEN), nn.Linear(HIDDEN, OUT)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.cell(x, h.chunk(2, -1)), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            outputs.append(self.readout(state[0]))
        return torch.stack(outputs, 1)


class GruAndReadout(Recurrent):
    def __init__(self, trained: bool = False) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(IN, HIDDEN, batch_first=True), nn.Linear(HIDDEN, OUT)
        self.h0 = nn.Parameter(torch.randn(1, 1, HIDDEN)) if trained else None

    def start(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, HIDDEN) if self.h0 is None else self.h0[0].expand(batch, HIDDEN)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return self.gru(x[:, None], h[None])[1][0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.gru(x, None if self.h0 is None else self.start(x.shape[0])[None].contiguous())[0])


class MessagePassing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("graph", torch.softmax(torch.randn(4, 4), -1))
        self.first, self.second = nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.graph @ self.second(torch.tanh(self.graph @ self.first(x)))


class Block(nn.Module):
    """Of a transformer with causal attention."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.causal = causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        q, k, v = (y.reshape(batch, steps, 2, -1).transpose(1, 2) for y in self.qkv(self.norm_1(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, steps, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class TinyGpt(nn.Module):
    """A language model with tied embeddings."""

    def __init__(self, words: int = 7, width: int = 8) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(STEPS, width)
        self.blocks = nn.Sequential(Block(width, True), Block(width, True))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


class TinyViT(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches, self.place = nn.Conv2d(1, width, 2, stride=2), nn.Parameter(torch.randn(5, width))
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.blocks, self.head = nn.Sequential(Block(width, False), Block(width, False)), nn.Linear(width, OUT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        return self.head(self.blocks(x)[:, 0])


def sequence() -> torch.Tensor:
    return torch.randn(BATCH, STEPS, IN)


Case = tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]

CASES: dict[str, Case] = {
    "leaky, nonlinearity outside": (lambda: Leaky(False), sequence),
    "leaky, nonlinearity inside": (lambda: Leaky(True), sequence),
    "low rank, factors in turn": (lambda: LowRank(False), sequence),
    "low rank, formed": (lambda: LowRank(True), sequence),
    "Dale by |W|": (lambda: Dale(False), sequence),
    "Dale by relu": (lambda: Dale(True), sequence),
    "masked": (Masked, sequence),
    "trained h0": (TrainedStart, sequence),
    "multiplicative": (Multiplicative, sequence),
    "minimal gated": (MinimalGated, sequence),
    "linear recurrent unit": (LinearRecurrentUnit, sequence),
    "LayerNorm in the loop": (Normed, sequence),
    "attention over memory": (Memory, sequence),
    "two areas": (TwoAreas, sequence),
    "short-term plasticity": (Plasticity, sequence),
    "weight_norm": (WeightNormed, sequence),
    "Runge-Kutta": (RungeKutta, sequence),
    "LSTM cells": (LstmCells, sequence),
    "nn.GRU and readout": (GruAndReadout, sequence),
    "nn.GRU from a trained h0": (lambda: GruAndReadout(True), sequence),
    "message passing": (MessagePassing, lambda: torch.randn(BATCH, 4, IN)),
    "TCN with weight_norm": (TemporalConvolution, sequence),
    "GPT, tied": (TinyGpt, lambda: torch.randint(0, 7, (2, STEPS))),
    "ViT": (TinyViT, lambda: torch.randn(2, 1, 4, 4)),
    "ResNet": (lambda: TinyResNet().eval(), lambda: torch.randn(BATCH, 1, 5, 5)),
    "separable convolutions": (lambda: Separable().eval(), lambda: torch.randn(2, 2, 6, 5)),
}
