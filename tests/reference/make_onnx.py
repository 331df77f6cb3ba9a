#!/usr/bin/env python3
"""Make the cases of tests/reference/onnx: small modules exported by scripts/export_torch.py, and answers in float64.

    python3 tests/reference/make_onnx.py [GOLDEN]

NAME.h5 holds, beside /inputs: the attribute parameters (their count), output (of the whole batch), probe [3, *output],
reference/ntk/apply (J Jᵀ probe, J by torch.func.vjp, row by row) and reference/ntk/trace. Weights and inputs are float32;
the answers are those of the same numbers in float64. GOLDEN is a folder of golden data: its gru, lstm and rnn_tanh are
exported in float64 as golden_NAME, with inputs and the hidden states as output, and nothing else.
"""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path

import h5py
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
from export_torch import PARAMETERS_KEY, export  # noqa: E402


class Sequence(nn.Module):
    """A recurrent module that returns its output sequence only."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class Block(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class Explicit(nn.Module):
    """Attention written out, with a mask in a buffer."""

    def __init__(self, d: int, length: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).tril())

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(-2, -1) / math.sqrt(x.shape[-1])
        t = x.shape[1]
        return x + scores.masked_fill(~self.mask[:t, :t], float("-inf")).softmax(-1) @ self.v(x)


class Tokens(nn.Module):
    """Token and position embeddings, attention twice, a head tied to nothing."""

    def __init__(self, vocabulary: int, length: int, d: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, d)
        self.position = nn.Parameter(0.3 * torch.randn(length, d))
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.explicit = Explicit(d, length)
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, vocabulary)
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).triu(1))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.position[: tokens.shape[1]]
        x = x + self.attention(x, x, x, attn_mask=self.mask, need_weights=False)[0]
        return self.head(self.norm(self.explicit(x)))


def cnn() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    assert norm.running_mean is not None and norm.running_var is not None
    for tensor, (low, high) in ((norm.running_mean, (-0.3, 0.3)), (norm.running_var, (0.1, 0.5)),
                                (norm.weight, (0.5, 1.5)), (norm.bias, (-0.3, 0.3))):  # fmt: skip
        nn.init.uniform_(tensor, low, high)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 6), nn.GELU(), nn.Linear(6, 3))


def transformer() -> nn.Module:
    return nn.Sequential(Block(8, 2), Block(8, 2))


def answers(module: nn.Module, inputs: Tensor, names: list[str], path: Path) -> None:
    """Append to the HDF5 file of an exported case."""
    module = copy.deepcopy(module).double().eval()
    x = inputs.double() if inputs.is_floating_point() else inputs
    theta = {name: p.detach() for name, p in module.named_parameters() if name in names}
    assert len(theta) == len(names)
    output, pullback = torch.func.vjp(lambda theta: torch.func.functional_call(module, theta, (x,)), theta)
    rows = []
    for unit in torch.eye(output.numel(), dtype=torch.float64):
        (gradient,) = pullback(unit.view_as(output), retain_graph=True)
        rows.append(torch.cat([gradient[name].flatten() for name in names]))
    jacobian = torch.stack(rows)
    probe = torch.randn(3, *output.shape, dtype=torch.float64)
    applied = (probe.flatten(1) @ jacobian @ jacobian.T).view_as(probe)
    with h5py.File(path, "a") as file:
        file.attrs["parameters"] = jacobian.shape[1]
        file["output"] = output.detach().numpy()
        file["probe"] = probe.numpy()
        file["reference/ntk/apply"] = applied.numpy()
        file["reference/ntk/trace"] = jacobian.square().sum().item()


def golden(name: str, folder: Path) -> None:
    with h5py.File(folder / f"{name}.h5") as file:
        inputs, state = torch.from_numpy(file["inputs"][:]), torch.from_numpy(file["state"][:])
        assert not file["initial_state"][:].any()
    weights = load_file(folder / f"{name}.safetensors")
    hidden, n_in = weights["weight_hh_l0"].shape[1], weights["weight_ih_l0"].shape[1]
    kind = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn_tanh": nn.RNN}[name]
    rnn = kind(n_in, hidden, batch_first=True).double()
    rnn.load_state_dict(weights)
    path = HERE / "onnx" / f"golden_{name}"
    export(Sequence(rnn), inputs, path)
    path.with_suffix(".toml").unlink()
    output = rnn(inputs)[0].detach()
    torch.testing.assert_close(output, state[..., :hidden], rtol=1e-12, atol=1e-12)
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        file["output"] = output.numpy()


def main() -> None:
    torch.backends.mha.set_fastpath_enabled(False)
    floats = torch.randn
    cases = {  # how to make the module, how to make the inputs, options of the export
        "mlp": (mlp, lambda: floats(3, 4), {}),
        "cnn": (cnn, lambda: floats(3, 2, 8, 8), {}),
        "gru": (lambda: Sequence(nn.GRU(3, 5, batch_first=True)), lambda: floats(3, 6, 3), {}),
        "lstm": (lambda: Sequence(nn.LSTM(3, 4, num_layers=2, batch_first=True)), lambda: floats(3, 6, 3), {}),
        "transformer": (transformer, lambda: floats(3, 5, 8), {}),
        # as torch.onnx.export(optimize=False) leaves it, at its default opset
        "tokens": (lambda: Tokens(11, 5, 16, 4), lambda: torch.randint(11, (3, 5)), {"opset": 18, "tidy": False}),
    }
    for seed, (name, (make_module, make_inputs, options)) in enumerate(cases.items()):
        torch.manual_seed(seed)
        module, inputs = make_module(), make_inputs()
        path = HERE / "onnx" / name
        model = export(module, inputs, path, **options)
        names = {p.key: p.value for p in model.metadata_props}[PARAMETERS_KEY].split("\n")
        answers(module, inputs, names, path.with_suffix(".h5"))
    if sys.argv[1:]:
        for name in ("gru", "lstm", "rnn_tanh"):
            golden(name, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
