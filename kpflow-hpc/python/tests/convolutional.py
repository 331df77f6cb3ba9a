"""Modules of convolutions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

IN, HIDDEN, OUT = 2, 5, 2


class TemporalConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = weight_norm(nn.Conv1d(IN, HIDDEN, 2))
        self.second = weight_norm(nn.Conv1d(HIDDEN, HIDDEN, 2, dilation=2))
        self.beside, self.out = nn.Conv1d(IN, HIDDEN, 1), nn.Linear(HIDDEN, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        y = torch.relu(self.first(functional.pad(x, (1, 0))))
        y = torch.relu(self.second(functional.pad(y, (2, 0))))
        return self.out(torch.relu(y + self.beside(x)).transpose(1, 2))


class TinyResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm_1 = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv_1, self.norm_2, self.conv_2 = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 3, 3, padding=1),
        )
        self.fc = nn.Linear(3, OUT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm_1(self.stem(images)))
        x = torch.relu(x + self.conv_2(torch.relu(self.norm_2(self.conv_1(x)))))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Separable(nn.Module):
    """What networks for small machines are made of: depthwise and grouped kernels, a gate by channel, channels last, joined and cut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, 2, 1), nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.squeeze, self.excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.grouped = nn.Conv2d(8, 6, 3, padding=1, groups=2, bias=False)
        self.layer_norm, self.pointwise, self.scale = nn.LayerNorm(6), nn.Linear(6, 6), nn.Parameter(torch.rand(6))
        self.multiplied, self.fc = nn.Conv2d(6, 12, (1, 3), (1, 2), (0, 1), groups=6), nn.Linear(12, OUT)
        nn.init.uniform_(self.norm.running_mean), nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.hardswish(self.norm(self.stem(images)))
        y = torch.tanh(self.depthwise(x))
        gate = torch.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1)))
        x = torch.tanh(self.grouped(torch.cat([x, y * torch.sigmoid(self.excite(gate))], 1)))
        y = torch.tanh(self.pointwise(self.layer_norm(x.permute(0, 2, 3, 1)))) * self.scale
        x = self.multiplied(x + y.permute(0, 3, 1, 2))
        first, second = functional.max_pool2d(x, (2, 1), 1).chunk(2, 1)
        return self.fc(torch.cat([2.0 * second, first], 1).mean((2, 3)))
