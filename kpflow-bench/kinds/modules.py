"""Modules of kinds.toml that no package has."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


def mlp() -> nn.Module:
    """Three hidden layers."""
    layers: list[nn.Module] = []
    for n_in, n_out in [(256, 512), (512, 512), (512, 512)]:
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(512, 10))


class Hidden(nn.Module):
    """The states of a recurrent layer, [B, T, H]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


def gru() -> nn.Module:
    """A GRU of 128 units."""
    return Hidden(nn.GRU(64, 128, batch_first=True))


def resnet18() -> nn.Module:
    """ResNet-18 with the stem for images of 32 × 32."""
    from torchvision.models import resnet18

    module = resnet18(num_classes=10)
    module.conv1, module.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return module


class Temporal(nn.Module):
    """Five causal convolutions, each twice as far apart as the one before, and a readout of the last step."""

    def __init__(self, n_in: int = 8, channels: int = 32) -> None:
        super().__init__()
        sizes = [n_in] + [channels] * 5
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 3, dilation=2**i) for i, (a, b) in enumerate(pairwise(sizes)))
        self.out = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            x = torch.relu(layer(functional.pad(x, (2 * 2**i, 0))))
        return self.out(x[:, :, -1])


def tcn() -> nn.Module:
    """A temporal convolutional network."""
    return Temporal()


class Layer(nn.Module):
    """Of a transformer, norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        parts = self.qkv(self.norm_1(x)).chunk(3, -1)
        q, k, v = (y.reshape(batch, steps, self.heads, -1).transpose(1, 2) for y in parts)
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(batch, steps, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


def encoder() -> nn.Module:
    """Four layers of a transformer of width 128, four heads, and the mean of all tokens."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.out = nn.Sequential(*(Layer(128, 4) for _ in range(4))), nn.Linear(128, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.layers(x).mean(1))

    return Encoder()
