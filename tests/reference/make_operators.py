#!/usr/bin/env python3
"""One small graph for each operator that torch exports, and torch's values: tests/reference/operators.

    python3 tests/reference/make_operators.py

The job files are written by export_torch.py; what is computed is as in make_onnx.py.
"""

import logging
import sys
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from make_onnx import HERE, PARAMETERS_KEY, answers, export

logging.disable(logging.CRITICAL)


class L(nn.Module):
    """f(self, x) with parameters self.p of these shapes and modules self.m."""

    def __init__(self, f, *shapes, mods=()):
        super().__init__()
        self.f = f
        self.p = nn.ParameterList([nn.Parameter(0.5 * torch.randn(*sh)) for sh in shapes])
        self.m = nn.ModuleList(mods)

    def forward(self, x):
        return self.f(self, x)


lin = lambda a=4, b=4: nn.Linear(a, b)


def act(f):
    return lambda: (L(lambda s, x: f(s.m[0](x)), mods=[lin()]), torch.randn(3, 4))


R = torch.randn
CASES = {}
for n, f in dict(
    silu=F.silu,
    elu=F.elu,
    selu=F.selu,
    lrelu=F.leaky_relu,
    softplus=F.softplus,
    hsig=F.hardsigmoid,
    hswish=F.hardswish,
    relu6=F.relu6,
    clamp=lambda x: x.clamp(-0.3, 0.5),
    erf=torch.erf,
    exp=torch.exp,
    logs=lambda x: torch.log(x * x + 1),
    sqrt=lambda x: torch.sqrt(x * x + 1),
    pow3=lambda x: x**3,
    abs=torch.abs,
    sin=torch.sin,
    cos=torch.cos,
    rec=lambda x: 1 / (x * x + 1),
    geluT=lambda x: F.gelu(x, approximate="tanh"),
    gelu=F.gelu,
    mish=F.mish,
    rsqrt=lambda x: torch.rsqrt(x * x + 1),
    logsm=lambda x: F.log_softmax(x, -1),
    tanhsh=F.tanhshrink,
    glu=lambda x: F.glu(x, -1),
    norm=lambda x: F.normalize(x, dim=-1),
    amax=lambda x: x.amax(-1, keepdim=True) + x,
    lse=lambda x: torch.logsumexp(x, -1, keepdim=True),
    l2=lambda x: x.norm(dim=-1),
    mean=lambda x: x.mean(-1),
    cumw=lambda x: torch.where(x > 0, x, 0.1 * x),
).items():
    CASES[n] = act(f)
CASES["conv1d"] = lambda: (
    nn.Sequential(nn.Conv1d(2, 3, 3, padding=1, dilation=1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(9, 2)),
    R(3, 2, 6),
)
CASES["depth"] = lambda: (
    nn.Sequential(
        nn.Conv2d(3, 3, 3, groups=3, padding=(1, 0), stride=(1, 2), bias=False),
        nn.Tanh(),
        nn.Conv2d(3, 2, 1),
        nn.Flatten(),
    ),
    R(2, 3, 5, 6),
)
CASES["same"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3, padding="same", dilation=2), nn.Sigmoid()), R(2, 1, 6, 5))
CASES["mp"] = lambda: (
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)),
    R(2, 1, 8, 7),
)
CASES["mpd"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, stride=1, dilation=2)), R(2, 1, 8, 7))
CASES["ap"] = lambda: (
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)),
    R(2, 1, 8, 7),
)
CASES["ap2"] = lambda: (
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=True)),
    R(2, 1, 8, 7),
)
CASES["apceil"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, stride=2, ceil_mode=True)), R(2, 1, 9, 7))
CASES["aap"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d((2, 2))), R(2, 1, 8, 8))
CASES["gap"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), R(2, 1, 8, 8))
CASES["gn"] = lambda: (nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)), R(2, 1, 5, 5))
CASES["in"] = lambda: (nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True)), R(2, 1, 5, 5))
CASES["ln2"] = lambda: (L(lambda s, x: s.m[0](x @ s.p[0]), (4, 4), mods=[nn.LayerNorm((3, 4))]), R(2, 3, 4))
CASES["lnna"] = lambda: (
    L(lambda s, x: s.m[0](x @ s.p[0]), (4, 4), mods=[nn.LayerNorm(4, elementwise_affine=False)]),
    R(2, 3, 4),
)
CASES["rms"] = lambda: (L(lambda s, x: s.m[0](x @ s.p[0]), (4, 4), mods=[nn.RMSNorm(4, eps=1e-5)]), R(2, 3, 4))
CASES["bn1"] = lambda: (nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)), R(3, 4))
CASES["res"] = lambda: (L(lambda s, x: x + s.m[1](torch.tanh(s.m[0](x))), mods=[lin(), lin()]), R(3, 4))
CASES["cat"] = lambda: (L(lambda s, x: torch.cat([s.m[0](x), x, s.m[1](x).flip(-1)], -1), mods=[lin(), lin()]), R(3, 4))
CASES["slice"] = lambda: (L(lambda s, x: s.m[0](x)[:, 1:-1].roll(1, 1), mods=[lin(4, 6)]), R(3, 4))
CASES["perm"] = lambda: (L(lambda s, x: s.m[0](x.transpose(1, 2)).permute(0, 2, 1), mods=[lin(3, 5)]), R(2, 3, 4))
CASES["pad"] = lambda: (L(lambda s, x: F.pad(s.m[0](x), (1, 2)), mods=[lin()]), R(3, 4))
CASES["exp2"] = lambda: (
    L(lambda s, x: (s.m[0](x).unsqueeze(2) * s.p[0]).repeat(1, 1, 2), (4, 3), mods=[lin()]),
    R(3, 4),
)
CASES["mmT"] = lambda: (L(lambda s, x: s.m[0](x) @ s.m[1](x).transpose(1, 2), mods=[lin(), lin()]), R(2, 3, 4))
CASES["pxa"] = lambda: (L(lambda s, x: s.p[0] @ x, (5, 3)), R(2, 3, 4))
CASES["bmm"] = lambda: (L(lambda s, x: x.unsqueeze(1) @ s.p[0], (2, 4, 3)), R(2, 3, 4))
CASES["mv"] = lambda: (L(lambda s, x: torch.tanh(x @ s.p[0]) @ s.p[1], (4, 5), (5,)), R(3, 4))
CASES["einsum"] = lambda: (L(lambda s, x: torch.einsum("bti,io->bot", x, s.p[0]), (4, 5)), R(2, 3, 4))
CASES["bilinear"] = lambda: (L(lambda s, x: s.m[0](x, torch.tanh(x)), mods=[nn.Bilinear(4, 4, 3)]), R(2, 4))
CASES["mhac"] = lambda: (
    L(
        lambda s, x: s.m[0](x, x, x, need_weights=False, attn_mask=torch.triu(torch.full((3, 3), float("-inf")), 1))[0],
        mods=[nn.MultiheadAttention(4, 2, batch_first=True)],
    ),
    R(2, 3, 4),
)


class Tied(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Embedding(7, 4)
        s.l = nn.Linear(4, 4)

    def forward(s, t):
        return torch.tanh(s.l(s.e(t))) @ s.e.weight.T


CASES["tied"] = lambda: (Tied(), torch.randint(7, (2, 3)))
CASES["shared"] = lambda: (L(lambda s, x: s.m[0](torch.tanh(s.m[0](x))), mods=[lin()]), R(3, 4))
CASES["free"] = lambda: (L(lambda s, x: torch.tanh(x + s.p[0]) * s.p[1], (4,), (1,)), R(3, 4))
CASES["scalar"] = lambda: (L(lambda s, x: F.softmax(s.m[0](x) / s.p[0].exp(), -1), (1,), mods=[lin()]), R(3, 4))
CASES["powt"] = lambda: (L(lambda s, x: (x * x + 1) ** s.p[0], (4,)), R(3, 4))
CASES["gru2"] = lambda: (
    L(lambda s, x: s.m[0](x)[0], mods=[nn.GRU(3, 2, num_layers=2, bidirectional=True, batch_first=True)]),
    R(2, 4, 3),
)
CASES["lstmnb"] = lambda: (
    L(
        lambda s, x: s.m[0](x)[1][0].transpose(0, 1),
        mods=[nn.LSTM(3, 2, bidirectional=True, bias=False, batch_first=True)],
    ),
    R(2, 4, 3),
)
CASES["rnnrelu"] = lambda: (
    L(lambda s, x: s.m[0](x)[0], mods=[nn.RNN(3, 2, nonlinearity="relu", batch_first=True)]),
    R(2, 4, 3),
)
CASES["sm1"] = lambda: (L(lambda s, x: F.softmax(s.m[0](x), 1), mods=[lin()]), R(2, 3, 4))
CASES["max2"] = lambda: (
    L(lambda s, x: torch.maximum(s.m[0](x), s.m[1](x)) - torch.minimum(s.m[0](x), x), mods=[lin(), lin()]),
    R(3, 4),
)
CASES["red2"] = lambda: (
    L(
        lambda s, x: s.m[0](x).sum((1, 2), keepdim=True) * x.mean(1, keepdim=True) + s.m[0](x).amin(1, keepdim=True),
        mods=[lin()],
    ),
    R(2, 3, 4),
)
CASES["prelu"] = lambda: (nn.Sequential(nn.Linear(4, 4), nn.PReLU()), R(3, 4))
CASES["chunk"] = lambda: (
    L(lambda s, x: torch.stack([a * torch.sigmoid(b) for a, b in [s.m[0](x).chunk(2, -1)]], 1), mods=[lin(4, 6)]),
    R(3, 4),
)
CASES["upsample"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2)), R(2, 1, 4, 4))
CASES["pixsh"] = lambda: (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2)), R(2, 1, 3, 3))
CASES["ein2"] = lambda: (
    L(lambda s, x: torch.einsum("bti,bsi->bts", s.m[0](x), s.m[1](x)), mods=[lin(), lin()]),
    R(2, 3, 4),
)
CASES["ein3"] = lambda: (L(lambda s, x: torch.einsum("bti->bi", s.m[0](x)), mods=[lin()]), R(2, 3, 4))


class Sc(nn.Module):
    def __init__(s):
        super().__init__()
        s.t = nn.Parameter(torch.tensor(0.3))
        s.l = lin()

    def forward(self, x):
        return F.softmax(s.l(x) * s.t.exp(), -1)


CASES["scalar0"] = lambda: (Sc(), R(3, 4))
CASES["nearest"] = lambda: (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Upsample(size=(5, 7))), R(2, 1, 4, 4))


def main() -> None:
    folder = HERE / "operators"
    folder.mkdir(exist_ok=True)
    for seed, (name, make) in enumerate(CASES.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        torch.manual_seed(seed)
        module, inputs = make()
        path: Path = folder / name
        model = export(module, inputs, path)
        names = {p.key: p.value for p in model.metadata_props}[PARAMETERS_KEY].split("\n")
        answers(module, inputs, names, path.with_suffix(".h5"))


if __name__ == "__main__":
    main()
