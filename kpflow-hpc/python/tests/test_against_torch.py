"""Numbers against torch.func, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from conftest import dense, total
from torch import nn
from torch.func import functional_call

import kpflow

RECURRENT = {
    "rnn": lambda: nn.RNN(2, 4, batch_first=True),
    "relu": lambda: nn.RNN(2, 4, nonlinearity="relu"),
    "gru": lambda: nn.GRU(2, 4, batch_first=True),
    "no_bias": lambda: nn.GRU(2, 4, bias=False),
    "lstm": lambda: nn.LSTM(2, 3),
}


def close(a: object, b: object, to: float = 1e-9) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= to * np.abs(b).max()


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("start", [False, True])
def test_recurrent_layers(kind: str, start: bool) -> None:
    torch.manual_seed(3)
    layer = RECURRENT[kind]().double()
    b, steps, hidden = 3, 5, layer.hidden_size
    x = torch.randn(b, steps, 2).double()
    parts = 2 if kind == "lstm" else 1
    h0 = [torch.randn(1, b, hidden).double() if start else torch.zeros(1, b, hidden).double() for _ in range(parts)]
    right = dense(layer, x, torch.cat([h[0] for h in h0], -1))
    initial = (tuple(h0) if parts == 2 else h0[0]) if start else None
    model = kpflow.linearize(layer, x if layer.batch_first else x.transpose(0, 1), initial_state=initial)
    n = right.ntk.shape[0]
    eye = np.eye(n)
    assert model.shape == (b, steps, parts * hidden) and model.parameters == sum(p.numel() for p in layer.parameters())
    close(model.state, right.state)
    close(model.ntk @ eye, right.ntk)
    close(model.parameter @ eye, right.parameter)
    close(model.propagator @ eye, right.propagator)
    close(model.propagator.T @ eye, right.propagator.T)
    close(model.propagator_gram @ eye, right.propagator @ right.propagator.T)
    close(model.constraint @ (model.propagator @ eye), eye)
    for operator, matrix in [
        (model.ntk, right.ntk),
        (model.parameter, right.parameter),
        (model.propagator_gram, right.propagator @ right.propagator.T),
    ]:
        trace, norm = torch.trace(matrix), torch.linalg.norm(matrix)
        close(operator.trace(), trace)
        assert operator.trace().standard_error == 0.0
        close(operator.frobenius(), norm)
        close(operator.effective_rank(), trace**2 / norm**2)
        values = torch.linalg.eigvalsh(matrix).flip(0)
        pairs = operator.eigenpairs(count=5, rtol=1e-10, vectors=True)
        close(pairs.eigenvalues, values[:5])
        v = pairs.eigenvectors.reshape(5, n)
        close((operator @ v.T).T, pairs.eigenvalues[:, None] * v, 1e-8)
        close(operator.norm(), values[0])
        close(operator.diagonal().diagonal.reshape(-1), torch.diagonal(matrix))
        close(operator.matrix().matrix, matrix)


def test_stacked_layers() -> None:
    torch.manual_seed(4)
    layer = nn.GRU(2, 3, num_layers=2, batch_first=True).double()
    x = torch.randn(2, 4, 2).double()

    def state(theta: dict[str, torch.Tensor]) -> torch.Tensor:
        h, z = torch.zeros(2, 2, 3).double(), []
        for t in range(4):
            _, h = functional_call(layer, theta, (x[:, t : t + 1], h))
            z.append(h.transpose(0, 1).reshape(2, -1))
        return torch.stack(z, 1)

    j = total(layer, state)
    a = kpflow.ntk(layer, x)
    assert a.state_shape == (2, 4, 6)
    close(a @ np.eye(48), j @ j.T)
    close(a.trace(), (j**2).sum())


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU])
def test_both_directions(make: type) -> None:
    torch.manual_seed(5)
    layer = make(2, 3, bidirectional=True).double()
    x = torch.randn(4, 2, 2).double()
    j = total(layer, lambda theta: functional_call(layer, theta, (x,))[0].transpose(0, 1))
    close(kpflow.ntk(layer, x) @ np.eye(48), j @ j.T)


@pytest.mark.parametrize("make", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells(make: type) -> None:
    torch.manual_seed(6)
    cell = make(2, 3).double()
    x, start = torch.randn(2, 4, 2).double(), [torch.randn(2, 3).double() for _ in range(2)]
    several = make is nn.LSTMCell

    def state(theta: dict[str, torch.Tensor]) -> torch.Tensor:
        h, z = tuple(start) if several else start[0], []
        for t in range(4):
            h = functional_call(cell, theta, (x[:, t], h))
            z.append(torch.cat(h, -1) if several else h)
        return torch.stack(z, 1)

    j = total(cell, state)
    a = kpflow.ntk(cell, x, initial_state=tuple(start) if several else start[0])
    close(a @ np.eye(a.shape[0]), j @ j.T)


NETS = {
    "tanh": lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)),
    "mixed": lambda: nn.Sequential(
        nn.Linear(3, 6), nn.LayerNorm(6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.SiLU(),
        nn.Linear(4, 4), nn.Softplus(), nn.Linear(4, 2), nn.Sigmoid(),
    ),
    "one": lambda: nn.Sequential(nn.Linear(3, 2)),
    "linear": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
    "prelu": lambda: nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 2), nn.ReLU()),
    "gelu_tanh": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.GELU("tanh"), nn.Linear(4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETS)
def test_nets_of_linear_layers(kind: str) -> None:
    torch.manual_seed(7)
    net = NETS[kind]().double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    x = torch.randn(4, 3).double()
    j = total(net, lambda theta: functional_call(net, theta, (x,)))
    # The last layer's own name reads as a readout what the module returns.
    last = max(int(name.split(".")[0]) for name, m in net.named_children() if isinstance(m, nn.Linear))
    count = sum(isinstance(m, nn.Linear) for m in net)
    a = kpflow.ntk(net, x, state=[f"a_{count - 1}"])
    assert a.shape == (8, 8) and last >= 0
    close(a @ np.eye(8), j @ j.T)
    close(a.trace(), (j**2).sum())


def test_scipy_takes_the_operators() -> None:
    torch.manual_seed(8)
    layer = nn.GRU(2, 6, batch_first=True).double()
    model = kpflow.linearize(layer, torch.randn(4, 6, 2).double())
    a = model.ntk
    values = scipy.sparse.linalg.eigsh(a, k=4, return_eigenvectors=False)
    close(np.sort(values)[::-1], a.eigenpairs(count=4, rtol=1e-10).eigenvalues)
    p = model.propagator
    singular = scipy.sparse.linalg.svds(p, k=3, return_singular_vectors=False)
    close(np.sort(singular)[::-1], p.singular_triplets(count=3, rtol=1e-10).singular_values, 1e-7)
    both = (p @ p.adjoint()) @ np.ones(a.shape[0])
    close(both, model.propagator_gram @ np.ones(a.shape[0]))
    x, info = scipy.sparse.linalg.cg(model.propagator_gram, np.ones(a.shape[0]), rtol=1e-10)
    assert info == 0
    close(model.propagator_gram @ x, np.ones(a.shape[0]), 1e-8)


def test_frozen_parameters_are_no_part() -> None:
    torch.manual_seed(9)
    layer = nn.GRU(2, 3, batch_first=True).double()
    layer.weight_ih_l0.requires_grad_(False)
    layer.bias_ih_l0.requires_grad_(False)
    x = torch.randn(2, 4, 2).double()
    j = total(layer, lambda theta: functional_call(layer, theta, (x,))[0])
    a = kpflow.ntk(layer, x)
    close(a.trace(), (j**2).sum())
    assert a.model.parameters == j.shape[1]
    everything = kpflow.ntk(layer, x, parameters=["*"])
    assert everything.model.parameters == sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_read_as_it_is(dtype: torch.dtype) -> None:
    torch.manual_seed(10)
    layer = nn.GRU(2, 3, batch_first=True).to(dtype)
    x = torch.randn(2, 4, 2).to(dtype)
    right = nn.GRU(2, 3, batch_first=True).double()
    right.load_state_dict({name: p.double() for name, p in layer.state_dict().items()})
    for said, to in [(None, 1e-12), (torch.float32, 1e-5), ("f32", 1e-5), (np.float64, 1e-12)]:
        a = kpflow.ntk(layer, x, dtype=said)
        assert a.dtype == (np.float64 if to < 1e-9 else np.float32)
        close(a @ np.ones(24), kpflow.ntk(right, x.double()) @ np.ones(24), to)
