#!/usr/bin/env python3
"""Make tests/reference/data: a small random model of each kind, and its derivatives by torch.func, in float64.

    python3 tests/reference/make_kinds.py

For each case NAME (the functions below, one for each):
    NAME.safetensors            weights
    NAME.tangent.safetensors    a random direction dθ; θ is every weight that influences the state
    NAME.vjp.safetensors        Jᵀ probe[0], J = d(state)/dθ
    NAME.h5    attributes kind, shape [B, T, N], options (JSON: what [model] says), parameters (how many numbers θ has);
               datasets inputs, initial_state [B, N], mask [B, T] (these where the case has them), state [B, T, N],
               probe [3, B, T, N], reference/jvp (J dθ), reference/ntk/apply (J Jᵀ of each probe),
               reference/ntk/trace and reference/ntk/frobenius (of J Jᵀ, from the dense J)
The recurrent cells are checked against torch.nn, gpt2 and bert against transformers (skipped where it is absent).
Everything is seeded by the name of the case, so that a new case leaves the others as they are.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp

try:
    import transformers
except ImportError:
    transformers = None

DATA = Path(__file__).resolve().parent / "data"
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


# Random weights: of a scale at which nothing saturates.


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


# Recurrent nets. A cell maps (x_t, its state) to its state; the first H numbers of the state are what is read above it.


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
) -> Case:
    """sizes: B, T, n_in, H. parts: how many vectors of H the state of a cell is (2 for the lstm)."""
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

    def state(p: Weights) -> Tensor:
        x, starts, states = data["inputs"], iter(start.split(parts * h, -1)), []
        for layer in suffixes:
            outputs = []
            for d, s in enumerate(layer):
                own = {k.removesuffix(s): v for k, v in p.items() if k.endswith(s)}
                z, at = next(starts), [None] * t
                for step in reversed(range(t)) if d == 1 else range(t):
                    at[step] = z = cell(own, x[:, step], z)
                states.append(torch.stack(at, 1))
                outputs.append(read(states[-1][..., :h]))
            x = torch.cat(outputs, -1)
        return torch.cat(states, -1)

    if check is not None:
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


# Feed-forward nets: T = 1.


def mlp_widths() -> Case:
    widths = [4, 7, 5, 3]
    theta = {}
    for i in range(3):
        theta |= linear(f"layers.{i}", widths[i], widths[i + 1])
    inputs = torch.randn(6, 4)

    def state(p: Weights) -> Tensor:
        a, all_a = inputs, []
        for i in range(3):
            a = F.linear(a, p[f"layers.{i}.weight"], p[f"layers.{i}.bias"])
            a = F.gelu(a) if i < 2 else a
            all_a.append(a)
        return torch.cat(all_a, -1)[:, None]

    return Case("mlp", {"activation": "gelu", "output_activation": "linear"}, theta, state, {"inputs": inputs})


def conv_net() -> Case:
    layers = [
        {"type": "conv", "name": "0", "stride": 1, "padding": 1},
        {"type": "relu"},
        {"type": "maxpool", "size": 2},
        {"type": "conv", "name": "3", "stride": 2, "padding": 1, "dilation": 1, "groups": 2},
        {"type": "batchnorm", "name": "4"},
        {"type": "tanh"},
        {"type": "avgpool", "size": [1, 2]},  # two rows are left: the order of flatten counts
        {"type": "flatten"},
        {"type": "linear", "name": "8"},
    ]
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=1, groups=2),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.AvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Linear(12, 3),
    ).eval()
    theta = {"0.weight": matrix(4, 2, 3, 3), "0.bias": vector(4), "3.weight": matrix(6, 2, 3, 3), "3.bias": vector(6)}
    theta |= norm("4", 6) | linear("8", 12, 3)
    constants = {"4.running_mean": vector(6), "4.running_var": 0.5 + torch.rand(6)}
    inputs = torch.randn(5, 2, 9, 8)

    def state(p: Weights) -> Tensor:
        x, seen = inputs, []
        for name, layer in net.named_children():
            own = {k.split(".")[1]: v for k, v in (p | constants).items() if k.startswith(f"{name}.")}
            x = functional_call(layer, own, (x,))
            if isinstance(layer, nn.ReLU | nn.Tanh):
                seen.append(x.permute(0, 2, 3, 1).flatten(1))  # channels last
        return torch.cat([*seen, x], -1)[:, None]

    with torch.no_grad():
        assert_same(state(theta)[:, 0, -3:], functional_call(net, theta | constants, (inputs,)), "conv output")
    return Case("conv", {"layers": layers}, theta, state, {"inputs": inputs}, constants)


# Neural ODEs: the drive is constant during a step.


def neural_ode(solver: str, sizes: tuple[int, int, int, int, int]) -> Case:
    """sizes: B, T, n_in, N, hidden; n_in = 0 is a net without drive."""
    b, t, n_in, n, hidden = sizes
    dt = 0.2
    options = {"solver": solver, "dt": dt, "activation": "tanh"}
    data = {"initial_state": torch.randn(b, n)}
    drive = torch.randn(b, t, n_in)
    if n_in:
        data["inputs"] = drive
    else:
        options["steps"] = t

    def state(p: Weights) -> Tensor:
        def f(x: Tensor, u: Tensor) -> Tensor:
            hidden = torch.tanh(F.linear(torch.cat([x, u], -1), p["layers.0.weight"], p["layers.0.bias"]))
            return F.linear(hidden, p["layers.1.weight"], p["layers.1.bias"])

        x, states = data["initial_state"], []
        for u in drive.unbind(1):
            k1 = f(x, u)
            if solver == "euler":
                phi = k1
            elif solver == "midpoint":
                phi = f(x + dt / 2 * k1, u)
            else:
                k2 = f(x + dt / 2 * k1, u)
                k3 = f(x + dt / 2 * k2, u)
                phi = (k1 + 2 * k2 + 2 * k3 + f(x + dt * k3, u)) / 6
            x = x + dt * phi
            states.append(x)
        return torch.stack(states, 1)

    theta = linear("layers.0", n + n_in, hidden) | linear("layers.1", hidden, n)
    return Case("neural_ode", options, theta, state, data)


def neural_ode_euler() -> Case:
    return neural_ode("euler", (3, 5, 2, 4, 7))


def neural_ode_midpoint() -> Case:
    return neural_ode("midpoint", (4, 6, 2, 3, 7))


def neural_ode_rk4() -> Case:
    return neural_ode("rk4", (3, 5, 0, 4, 6))


# Transformers, with the names of Hugging Face.


def layer_norm(p: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], eps)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """q, k, v [B, T, d]; allowed, of a shape that broadcasts to [B, heads, T, T]: which keys a query may see."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf)
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)


def gpt2_states(p: Weights, ids: Tensor, layers: int, heads: int) -> list[Tensor]:
    """The embedding e, then of each block the residual stream after attention, m, and after the MLP, r."""
    t = ids.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool).tril()
    x = p["wte.weight"][ids] + p["wpe.weight"][:t]
    states = [x]
    for i in range(layers):

        def affine(name: str, x: Tensor) -> Tensor:
            return x @ p[f"h.{i}.{name}.weight"] + p[f"h.{i}.{name}.bias"]

        q, k, v = affine("attn.c_attn", layer_norm(p, f"h.{i}.ln_1", x, 1e-5)).chunk(3, -1)
        x = x + affine("attn.c_proj", attention(q, k, v, heads, causal))
        states.append(x)
        hidden = F.gelu(affine("mlp.c_fc", layer_norm(p, f"h.{i}.ln_2", x, 1e-5)), approximate="tanh")
        x = x + affine("mlp.c_proj", hidden)
        states.append(x)
    return states


def bert_states(p: Weights, ids: Tensor, mask: Tensor, layers: int, heads: int) -> list[Tensor]:
    """The embedding e, then of each layer a (after attention.output.LayerNorm) and r (after output.LayerNorm)."""
    allowed = mask.bool()[:, None, None]
    e = "embeddings"
    x = p[f"{e}.word_embeddings.weight"][ids] + p[f"{e}.position_embeddings.weight"][: ids.shape[1]]
    x = layer_norm(p, f"{e}.LayerNorm", x + p[f"{e}.token_type_embeddings.weight"][0], 1e-12)
    states = [x]
    for i in range(layers):
        name = f"encoder.layer.{i}"

        def affine(part: str, x: Tensor) -> Tensor:
            return F.linear(x, p[f"{name}.{part}.weight"], p[f"{name}.{part}.bias"])

        q, k, v = (affine(f"attention.self.{part}", x) for part in ("query", "key", "value"))
        mixed = affine("attention.output.dense", attention(q, k, v, heads, allowed))
        x = layer_norm(p, f"{name}.attention.output.LayerNorm", x + mixed, 1e-12)
        states.append(x)
        hidden = F.gelu(affine("intermediate.dense", x))
        x = layer_norm(p, f"{name}.output.LayerNorm", x + affine("output.dense", hidden), 1e-12)
        states.append(x)
    return states


def gpt2_small() -> Case:
    layers, heads, d, vocabulary, positions = 2, 3, 12, 11, 9
    theta = {"wte.weight": torch.randn(vocabulary, d), "wpe.weight": torch.randn(positions, d)}
    for i in range(layers):
        theta |= norm(f"h.{i}.ln_1", d) | conv1d(f"h.{i}.attn.c_attn", d, 3 * d) | conv1d(f"h.{i}.attn.c_proj", d, d)
        theta |= norm(f"h.{i}.ln_2", d) | conv1d(f"h.{i}.mlp.c_fc", d, 4 * d) | conv1d(f"h.{i}.mlp.c_proj", 4 * d, d)
    constants = norm("ln_f", d)  # after the last state
    ids = torch.randint(vocabulary, (2, 5))

    if transformers is not None:
        config = transformers.GPT2Config(
            n_embd=d,
            n_head=heads,
            n_layer=layers,
            n_positions=positions,
            vocab_size=vocabulary,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="eager",
        )
        net = transformers.GPT2Model(config).eval()
        net.load_state_dict(theta | constants)
        with torch.no_grad():
            theirs = net(ids, output_hidden_states=True).hidden_states
            ours = gpt2_states(theta, ids, layers, heads)[::2]
        ours[-1] = layer_norm(constants, "ln_f", ours[-1], 1e-5)  # theirs have the last one normalised
        assert_same(torch.stack(ours), torch.stack(theirs), "gpt2")

    def state(p: Weights) -> Tensor:
        return torch.cat(gpt2_states(p, ids, layers, heads), -1)

    return Case("gpt2", {"heads": heads}, theta, state, {"inputs": ids}, constants)


def bert_small() -> Case:
    layers, heads, d, intermediate, vocabulary, positions = 2, 3, 12, 20, 11, 9
    sizes = {"word": vocabulary, "position": positions, "token_type": 2}
    theta = {f"embeddings.{k}_embeddings.weight": torch.randn(v, d) for k, v in sizes.items()}
    theta |= norm("embeddings.LayerNorm", d)
    for i in range(layers):
        name = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            theta |= linear(f"{name}.attention.{part}", d, d)
        theta |= norm(f"{name}.attention.output.LayerNorm", d) | norm(f"{name}.output.LayerNorm", d)
        theta |= linear(f"{name}.intermediate.dense", d, intermediate)
        theta |= linear(f"{name}.output.dense", intermediate, d)
    ids = torch.randint(vocabulary, (2, 6))
    mask = torch.ones(2, 6, dtype=torch.int64)
    mask[1, -2:] = 0  # no keys there, but states still

    if transformers is not None:
        config = transformers.BertConfig(
            hidden_size=d,
            num_attention_heads=heads,
            num_hidden_layers=layers,
            intermediate_size=intermediate,
            vocab_size=vocabulary,
            max_position_embeddings=positions,
            attn_implementation="eager",
        )
        net = transformers.BertModel(config, add_pooling_layer=False).eval()
        net.load_state_dict(theta)
        with torch.no_grad():
            theirs = net(ids, attention_mask=mask, output_hidden_states=True).hidden_states
            ours = bert_states(theta, ids, mask, layers, heads)[::2]
        assert_same(torch.stack(ours), torch.stack(theirs), "bert")

    def state(p: Weights) -> Tensor:
        return torch.cat(bert_states(p, ids, mask, layers, heads), -1)

    return Case("bert", {"heads": heads}, theta, state, {"inputs": ids, "mask": mask})


def write(name: str, case: Case) -> None:
    theta = case.theta
    tangent = {k: torch.randn_like(v) for k, v in theta.items()}
    state, along = jvp(case.state, (theta,), (tangent,))
    b, t, n = state.shape
    probe = torch.randn(3, b, t, n)
    _, pull = vjp(case.state, theta)
    vjps = [pull(x)[0] for x in probe]
    applied = torch.stack([jvp(case.state, (theta,), (x,))[1] for x in vjps])

    blocks = jacrev(lambda p: case.state(p).flatten(), chunk_size=64)(theta)
    dense = torch.cat([v.flatten(1) for v in blocks.values()], 1)
    kernel = dense @ dense.T
    # Three ways to the same numbers: reverse, forward, and dense.
    assert_same(probe.flatten(1) @ kernel, applied.flatten(1), f"{name} ntk")
    assert_same(dense @ torch.cat([v.flatten() for v in tangent.values()]), along.flatten(), f"{name} jvp")
    assert state.isfinite().all() and all(v.count_nonzero() > 0 for v in vjps[0].values())

    save_file({k: v.contiguous() for k, v in (theta | case.constants).items()}, DATA / f"{name}.safetensors")
    # The constants go along, so that each file is a checkpoint which the same loader reads.
    save_file(tangent | case.constants, DATA / f"{name}.tangent.safetensors")
    save_file({k: v.contiguous() for k, v in (vjps[0] | case.constants).items()}, DATA / f"{name}.vjp.safetensors")
    with h5py.File(DATA / f"{name}.h5", "w") as file:
        file.attrs["kind"] = case.kind
        file.attrs["shape"] = [b, t, n]
        file.attrs["options"] = json.dumps(case.options)
        file.attrs["parameters"] = dense.shape[1]
        for k, v in case.data.items():
            file[k] = v.numpy()
        file["state"], file["probe"], file["reference/jvp"] = state.numpy(), probe.numpy(), along.numpy()
        file["reference/ntk/apply"] = applied.numpy()
        file["reference/ntk/trace"], file["reference/ntk/frobenius"] = kernel.trace().item(), kernel.norm().item()
    print(f"{name:27} {[b, t, n]!s:13} {dense.shape[1]:5} parameters  |z| ≤ {state.abs().max():.2f}  {case.options}")


CASES = [
    rnn_stacked,
    gru_stacked,
    lstm_stacked,
    gru_bidirectional,
    lstm_stacked_bidirectional,
    leaky_rnn_stacked,
    mlp_widths,
    conv_net,
    neural_ode_euler,
    neural_ode_midpoint,
    neural_ode_rk4,
    gpt2_small,
    bert_small,
]


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    DATA.mkdir(exist_ok=True)
    for make in CASES:
        seed = zlib.crc32(make.__name__.encode())
        torch.manual_seed(seed)
        case = make()
        torch.manual_seed(seed + 1)  # so that the check against transformers, which draws numbers, changes nothing
        write(make.__name__, case)


if __name__ == "__main__":
    main()
