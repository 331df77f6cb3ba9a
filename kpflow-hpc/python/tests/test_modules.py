"""Modules that nobody wrote for kpflow, read through torch's exporter, against torch.func with respect to their own parameters."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from conftest import Dense, total
from modules import BATCH, CASES, IN, STEPS, GruAndReadout, Leaky, Recurrent, TinyGpt, TinyResNet
from torch import nn
from torch.func import functional_call

import kpflow


class Part(nn.Module):
    """A module's own start and step, for functional_call."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, what: str, *given: Any) -> torch.Tensor:
        return getattr(self.module, what)(*given)


def dense(module: nn.Module, x: torch.Tensor) -> Dense:
    """NTK, K and P of the state of a loop, or of the output."""
    module = copy.deepcopy(module).double()
    x = x.double() if x.is_floating_point() else x
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        if not isinstance(module, Recurrent):
            state = functional_call(module, dict(module.named_parameters()), (x,)).detach()
            j = total(module, lambda theta: functional_call(module, theta, (x,)))
            return Dense(j @ j.T, j @ j.T, torch.eye(state.numel()), state)
        part = Part(module)

        def ask(theta: Any, *what: Any) -> torch.Tensor:
            return functional_call(part, {f"module.{name}": p for name, p in theta.items()}, what)

        def run(theta: Any) -> torch.Tensor:
            z = [ask(theta, "start", len(x))]
            for t in range(x.shape[1]):
                z.append(ask(theta, "step", x[:, t], z[-1]))
            return torch.stack(z[1:], 1)

        theta = {name: p.detach() for name, p in module.named_parameters()}
        z = run(theta)
        n = z.numel()

        def once(z: torch.Tensor, theta: Any) -> torch.Tensor:
            first = torch.cat([ask(theta, "start", len(x))[:, None], z[:, :-1]], 1)
            return torch.stack([ask(theta, "step", x[:, t], first[:, t]) for t in range(x.shape[1])], 1)

        now, all_of_it = total(module, lambda theta: once(z, theta)), total(module, run)
        moves = torch.eye(n) - torch.func.jacrev(once)(z, theta).reshape(n, n)
        return Dense(all_of_it @ all_of_it.T, now @ now.T, torch.linalg.inv(moves), z)
    finally:
        torch.set_default_dtype(before)


def close(a: Any, b: Any, to: float = 1e-8) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= to * np.abs(b).max()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_any_module(name: str) -> None:
    torch.manual_seed(1)
    make, inputs = CASES[name]
    module, x = make(), inputs()
    before = copy.deepcopy(module.state_dict())
    model = kpflow.linearize(module, x)
    right = dense(module, x)
    if isinstance(module, Recurrent):
        assert model.shape == (BATCH, STEPS, module.units)
        order = np.argsort(np.asarray(model.state).ravel()), np.argsort(right.state.numpy().ravel())
        close(model.state.ravel()[order[0]], right.state.numpy().ravel()[order[1]])
    else:
        close(model.state.ravel(), right.state.numpy().ravel())
    k, gram = right.parameter, right.propagator @ right.propagator.T
    close(float(model.ntk.trace()), torch.trace(right.ntk))
    close(float(model.parameter.effective_rank()), torch.trace(k) ** 2 / (k * k).sum())
    close(float(model.propagator_gram.trace()), torch.trace(gram))
    close(model.ntk.eigenpairs(count=5).eigenvalues, torch.linalg.eigvalsh(right.ntk).flip(0)[:5])
    vectors = torch.randn(model.ntk.shape[0], 2, dtype=torch.float64)
    assert isinstance(model.ntk @ vectors, torch.Tensor)
    largest = scipy.sparse.linalg.eigsh(model.ntk, k=2, return_eigenvectors=False)
    close(largest.max(), torch.linalg.eigvalsh(right.ntk).max())
    # The module is as it was.
    assert all(torch.equal(a, b) for a, b in zip(before.values(), module.state_dict().values(), strict=True))


def test_time_is_an_axis() -> None:
    torch.manual_seed(1)
    model = kpflow.linearize(Leaky(True), torch.randn(BATCH, STEPS, IN))
    assert model.ntk.marginal("time").matrix.shape == (STEPS, STEPS)
    assert len(model.ntk.lyapunov().exponents) > 0


def test_batches_stand_where_the_module_has_them() -> None:
    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.fc = nn.GRU(IN, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.gru(x)[0])

    model = kpflow.linearize(TimeFirst(), torch.randn(STEPS, BATCH, IN))
    assert model.shape == (BATCH, STEPS, 4)

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(IN, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) - self.fc(x).mean((0, 1))

    with pytest.warns(UserWarning, match="one trajectory"):
        assert kpflow.linearize(Mixed(), torch.randn(BATCH, STEPS, IN)).shape[0] == 1


def test_arguments() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 3), nn.Linear(4, 3)

        def forward(self, left: torch.Tensor, scale: float = 2.0, right: torch.Tensor | None = None) -> torch.Tensor:
            return scale * torch.tanh(self.a(left) + (0 if right is None else self.b(right)))

    module, left, right = Two(), torch.randn(5, 2), torch.randn(5, 4)
    assert kpflow.linearize(module, {"left": left, "right": right}).parameters == 9 + 15
    with pytest.warns(UserWarning, match="does not read the parameter b.weight"):
        assert kpflow.linearize(module, left).parameters == 9
    with pytest.raises(ValueError, match="forward takes left, scale, right"):
        kpflow.linearize(module, {"leftt": left})


@pytest.mark.filterwarnings("ignore:the module returns")
def test_what_is_frozen_or_half_or_in_training() -> None:
    torch.manual_seed(1)
    x = torch.randn(BATCH, STEPS, IN)
    module = Leaky(True)
    whole = kpflow.linearize(module, x)
    module.w.weight.requires_grad_(False)
    assert kpflow.linearize(module, x).parameters == whole.parameters - 25
    assert kpflow.linearize(module, x, parameters=["w.weight"]).parameters == 25
    with pytest.raises(ValueError, match="requires_grad"):
        kpflow.linearize(Leaky(True).requires_grad_(False), x)
    # Its numbers are what they are, in double precision.
    half = Leaky(True).bfloat16()
    exact = kpflow.linearize(copy.deepcopy(half).double(), x.bfloat16())
    close(kpflow.linearize(half, x.bfloat16()).state, exact.state, 1e-14)
    with pytest.raises(ValueError, match=r"training mode.*eval\(\)"):
        kpflow.linearize(TinyResNet(), torch.randn(BATCH, 1, 5, 5))

    class Noisy(Leaky):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.randn_like(x))

    with pytest.raises(ValueError, match="two runs of the module on the same inputs differ"):
        kpflow.linearize(Noisy(True), x)
    with pytest.raises(ValueError, match="two runs of the module on the same inputs differ"):
        kpflow.linearize(Noisy(True).eval(), x)


def test_control_flow_that_depends_on_numbers_is_refused() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(IN, 3), nn.Linear(IN, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.a(row) if float(row.sum()) > 0 else self.b(row) for row in x])

    with pytest.raises((ValueError, RuntimeError)):
        kpflow.linearize(Branching(), torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kpflow.linearize(Leaky(True), torch.randn(BATCH, STEPS, IN))
    assert capfd.readouterr() == ("", "")


def test_jacobian() -> None:
    torch.manual_seed(1)
    for module in (nn.GRU(IN, 4, batch_first=True), Leaky(True)):
        model = kpflow.linearize(module, torch.randn(BATCH, STEPS, IN))
        n, theta = model.jacobian.shape
        j = model.jacobian @ np.eye(theta)
        close(j @ j.T, model.ntk @ np.eye(n), 1e-12)
        close(model.jacobian.T @ np.eye(n), j.T, 1e-12)
        assert isinstance(model.jacobian @ torch.ones(theta), torch.Tensor)
    gru = nn.GRU(IN, 4, batch_first=True).double()
    x = torch.randn(BATCH, STEPS, IN).double()
    right = total(gru, lambda theta: functional_call(gru, theta, (x,))[0])
    model = kpflow.linearize(gru, x)
    found = model.jacobian @ np.eye(model.parameters)
    # Both biases are parameters of their own; the order of θ is the model's.
    close(np.sort(np.linalg.norm(found, axis=0)), np.sort(torch.linalg.norm(right, dim=0).numpy()), 1e-9)


# What people asked for, in their own words of torch.


def test_question_the_ntk_of_a_recurrent_net() -> None:
    net = GruAndReadout()
    ntk = kpflow.ntk(net, torch.randn(BATCH, STEPS, IN), readout="fc")
    j = total(
        net.double(), lambda theta: functional_call(net, theta, (torch.zeros(1, STEPS, IN, dtype=torch.float64),))
    )
    assert ntk.shape[0] == BATCH * STEPS * 2 and j.shape[0] == STEPS * 2
    assert float(ntk.effective_rank()) > 1


def test_question_vmap_over_a_gru() -> None:
    """torch.func's vmap has no rule for nn.GRU: all trajectories at once, each its own kernel."""
    gru, x = nn.GRU(IN, 4, batch_first=True), torch.randn(BATCH, STEPS, IN)
    all_at_once = kpflow.ntk(gru, x)
    for b in range(BATCH):
        alone = kpflow.ntk(gru, x[b : b + 1])
        n = STEPS * 4
        block = (all_at_once @ np.eye(BATCH * n))[b * n : (b + 1) * n, b * n : (b + 1) * n]
        close(block, alone @ np.eye(n), 1e-10)


def test_question_memory_for_batch_times_outputs() -> None:
    """The whole Jacobian of 200 inputs and 50 outputs would have 10,000 rows of 15,000 numbers; it is never formed."""
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 50))
    model = kpflow.linearize(net, torch.randn(200, 20), state=["a_2"])
    assert model.ntk.shape == (10_000, 10_000)
    estimate = model.ntk.trace(max_matvecs=20, rtol=0.5)
    assert estimate.interval[0] <= float(estimate) <= estimate.interval[1]


def test_question_a_language_model_with_tied_embeddings() -> None:
    net, tokens = TinyGpt(), torch.randint(0, 7, (2, STEPS))
    assert kpflow.linearize(net, tokens).parameters == sum(p.numel() for p in net.parameters())


# Tasks.


def test_tasks() -> None:
    torch.manual_seed(2)
    net, x = GruAndReadout().double(), torch.randn(BATCH, STEPS, IN).double()
    target = torch.randn(BATCH, STEPS, 2).double()
    classes = torch.randint(0, 2, (BATCH, STEPS))
    mask = torch.zeros(BATCH, STEPS)
    mask[:, -1] = 1
    model = kpflow.linearize(net, x)
    tasks = {
        "mse": (target,),
        "masked": (target, "mse", mask),
        "classes": (classes, "cross_entropy"),
        "own": (target, lambda y, t: (y - t).abs().sum()),
        "of the output": lambda y: y.square().mean(),
        "signal": np.ones(model.shape),
    }
    found = model.ntk.learnability(tasks, count=3)
    assert list(found) == list(tasks)
    z = torch.from_numpy(model.state).requires_grad_()
    (e,) = torch.autograd.grad(nn.functional.mse_loss(net.fc(z), target), z)
    close(found["mse"].value, model.ntk.learnability(e.numpy(), count=3).value, 1e-10)
    (e,) = torch.autograd.grad(nn.functional.mse_loss(net.fc(z)[:, -1], target[:, -1]), z)
    close(found["masked"].value, model.ntk.learnability(e.numpy(), count=3).value, 1e-10)
    between = model.ntk.interference(tasks)
    assert between.names == tuple(tasks) and between.matrix.shape == (6, 6) and between.matvecs == 6
    close(between.matrix, between.matrix.T, 1e-10)
    with pytest.raises(ValueError, match="the target of task t is"):
        model.ntk.learnability({"t": (target[:, :1],)})
    with pytest.raises(ValueError, match="no linear layer head; it has fc"):
        model.ntk.learnability({"t": (target,)}, readout="head")
