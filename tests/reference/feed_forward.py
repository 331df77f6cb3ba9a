"""Feed-forward nets, whose T is 1, and neural ODEs, whose drive is constant during a step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from case import Case, Weights, assert_same, linear, matrix, norm, vector
from torch import Tensor, nn
from torch.func import functional_call


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


def sequential(net: nn.Sequential, options: dict, inputs: Tensor) -> Case:
    """An nn.Sequential with its modules as torch runs them; the state is what its activations write, and its last output."""
    net = net.eval()
    theta = {}
    for name, value in net.named_parameters():
        random = matrix(*value.shape) if value.ndim == 2 else vector(value.numel())
        gain = value.ndim == 1 and name.endswith("weight")
        theta[name] = 1 + random if gain else random
    buffers = {k: 0.5 + torch.rand_like(v) for k, v in net.named_buffers() if v.is_floating_point()}
    counts = {k: torch.tensor(7) for k, v in net.named_buffers() if not v.is_floating_point()}

    def state(p: Weights) -> Tensor:
        x, seen = inputs, []
        for name, module in net.named_children():
            own = {k.split(".")[1]: v for k, v in (p | buffers | counts).items() if k.startswith(f"{name}.")}
            x = functional_call(module, own, (x,))
            if isinstance(module, nn.ReLU | nn.Tanh | nn.GELU | nn.PReLU):
                seen.append(x)
        if not isinstance(module, nn.Tanh | nn.PReLU):
            seen.append(x)
        widths = {a.shape[-1] for a in seen}
        return torch.stack(seen, 1) if len(widths) == 1 else torch.cat(seen, -1)[:, None]

    return Case("mlp", options, theta, state, {"inputs": inputs}, buffers | counts)


def mlp_layer_norm() -> Case:
    net = nn.Sequential(
        nn.Linear(4, 7),
        nn.LayerNorm(7),
        nn.Tanh(),
        nn.Linear(7, 5),
        nn.Tanh(),
        nn.LayerNorm(5),  # behind the activation: the number left out tells
        nn.Linear(5, 3),
    )
    return sequential(net, {"activation": "tanh", "output_activation": "linear"}, torch.randn(6, 4))


def mlp_batch_norm() -> Case:
    net = nn.Sequential(
        nn.BatchNorm1d(4),
        nn.Linear(4, 6),
        nn.BatchNorm1d(6, affine=False),
        nn.GELU(),
        nn.Dropout(0.5),
        nn.Linear(6, 6),
        nn.GELU(),
        nn.BatchNorm1d(6),
        nn.Linear(6, 6),
    )
    return sequential(net, {"activation": "gelu", "output_activation": "linear"}, torch.randn(5, 4))


def mlp_prelu() -> Case:
    net = nn.Sequential(
        nn.Linear(4, 6),
        nn.PReLU(),
        nn.Linear(6, 5),
        nn.PReLU(5),
        nn.RMSNorm(5),
        nn.Linear(5, 4),
        nn.PReLU(),
    )
    return sequential(net, {"modules": {"3": "prelu", "4": "rmsnorm"}}, torch.randn(5, 4))
