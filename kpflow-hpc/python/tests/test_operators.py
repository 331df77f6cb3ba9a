"""Vectors of every shape and library, quantities, errors, manners."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kpflow
from kpflow import _kpflow
from kpflow._results import known, told


@pytest.fixture(scope="module")
def layer() -> nn.GRU:
    torch.manual_seed(1)
    return nn.GRU(2, 5, batch_first=True).double()


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(3, 6, 2).double()


@pytest.fixture(scope="module")
def model(layer: nn.GRU, inputs: torch.Tensor) -> kpflow.Model:
    return kpflow.linearize(layer, inputs)


def test_vectors_of_every_shape(model: kpflow.Model) -> None:
    n, generator = 90, np.random.default_rng(0)
    for a in (model.ntk, model.propagator, model.propagator.T):
        whole = a @ np.eye(n)
        x = generator.standard_normal((n, 70))
        right = whole @ x
        for given in (x, np.asfortranarray(x), x[:, ::2], x[::-1][::-1], x.tolist()):
            np.testing.assert_allclose(a @ given, whole @ np.asarray(given), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a @ x[:, 0], right[:, 0], rtol=1e-12, atol=1e-12)
        as_state = x.T.reshape(70, 3, 6, 5)
        np.testing.assert_allclose(a @ as_state, right.T.reshape(as_state.shape), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a @ as_state[4], right[:, 4].reshape(3, 6, 5), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a.matvec(x[:, 1]), right[:, 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a.rmatvec(x[:, 1]), whole.T @ x[:, 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a @ (x[:, 1] * 1j), right[:, 1] * 1j, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose((2.0 * a) @ x[:, 1], 2.0 * right[:, 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(x[:, 1] @ a, whole.T @ x[:, 1], rtol=1e-12, atol=1e-12)
        assert (a @ np.ones(n, np.float32)).dtype == np.float64
        assert (a @ np.empty((n, 0))).shape == (n, 0)
        frozen = x[:, 0].copy()
        frozen.flags.writeable = False
        a @ frozen


def test_tensors_give_tensors(model: kpflow.Model) -> None:
    a = model.ntk
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = torch.randn(3, 6, 5, dtype=dtype, requires_grad=True)
        y = a @ x
        assert isinstance(y, torch.Tensor) and y.dtype == dtype and y.shape == x.shape
        right = torch.from_numpy(a @ x.detach().double().numpy())
        assert torch.allclose(y.double(), right, rtol=1e-2, atol=1e-2 * right.abs().max())
    assert isinstance(a @ torch.ones(90, 2), torch.Tensor)


def test_wrong_vectors(model: kpflow.Model) -> None:
    for x in (np.ones(89), np.ones((5, 90)), np.ones((3, 6, 4)), np.ones((2, 3, 6, 4))):
        with pytest.raises(ValueError, match=r"x has shape .*\[90" if x.ndim < 3 else r"and as the state \[3, 6, 5\]"):
            model.ntk @ x


def test_core_is_on_positions(model: kpflow.Model) -> None:
    core = model.core
    assert core.state_shape == (3, 6, 1) and core.shape == (18, 18)
    whole = core @ np.eye(18)
    np.testing.assert_allclose(whole, whole.T)
    np.testing.assert_allclose(float(core.trace()), np.trace(whole), rtol=1e-10)


@pytest.mark.parametrize("quantity", known())
@pytest.mark.parametrize("operator", ["ntk", "parameter", "propagator", "propagator_gram", "constraint", "core"])
def test_every_quantity_is_a_method(model: kpflow.Model, quantity: str, operator: str) -> None:
    about, a = known()[quantity], model.operator(operator)
    given: dict[str, Any] = {"axes": "time"} if quantity == "marginal" else {}
    first = {"weights": a, "state": np.ones((3, 6, 5)), "vectors": np.ones(90), None: None}[about["with"]]
    method = getattr(a, quantity)
    ask = lambda: method(**given) if first is None else method(first, **given)
    assert about["formula"].replace("\\", "\\\\")[:3] in method.__doc__ and about["about"].split()[0] in method.__doc__
    if operator not in about["operators"]:
        with pytest.raises(ValueError, match=f'"{quantity}" is for operator = '):
            ask()
        return
    if operator == "core" and quantity in ("blocks", "diagonal"):
        return
    found = ask()
    assert isinstance(found, kpflow.Result) and found.quantity == quantity and found.operator == operator
    assert type(found).__name__ in ("Estimate", "".join(w.title() for w in quantity.split("_")))
    assert repr(found) and set(found.keys()) <= {o["name"] for o in about["outputs"]}
    for output in about["outputs"]:
        name = output["name"]
        if name in found and name != "interval":
            assert np.ndim(getattr(found, name)) in (len(output["dimensions"]), len(output["dimensions"]) - 1)
    again = pickle.loads(pickle.dumps(found))
    assert again.keys() == found.keys() and repr(again) == repr(found)
    pytest.importorskip("pandas") and found.to_pandas()


def test_tables_and_datasets(model: kpflow.Model) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    pairs = model.ntk.eigenpairs(count=4, vectors=True)
    table = pairs.to_pandas()
    assert list(table.columns) == ["eigenvalues", "residuals"] and len(table) == 4 and table.index.name == "mode"
    data = pairs.to_xarray()
    assert data["eigenvectors"].dims == ("mode", "trajectory", "time", "unit")
    assert model.ntk.marginal("time").to_xarray()["matrix"].dims == ("time", "time_2")
    assert model.ntk.trace().to_pandas()["value"][0] == float(model.ntk.trace())


def test_keys_are_those_of_the_job(model: kpflow.Model) -> None:
    a = model.ntk
    np.testing.assert_allclose(
        float(a.trace(window=(1, 4), units=[0, 2])),
        np.diag(a @ np.eye(90)).reshape(3, 6, 5)[:, 1:4][:, :, [0, 2]].sum(), rtol=1e-10,
    )  # fmt: skip
    mean = a.marginal(["time", "unit"], average=True).matrix
    assert mean.shape == (30, 30)
    assert a.marginal(axis="unit").matrix.shape == (5, 5)
    sampled = a.trace(method="one_sided", side="forward", max_matvecs=40, rtol=0.0)
    assert sampled.method == "one_sided" and sampled.standard_error > 0.0 and len(sampled.history) > 1
    assert "±" in repr(sampled) and "max_matvecs reached" in repr(sampled)
    low, high = sampled.interval
    assert low < sampled.value < high
    for wrong, said in [
        (dict(rtol=2.0), "rtol = 2 is not a tolerance"),
        (dict(side="forward"), 'side is for method = "one_sided"'),
        (dict(units=[7]), "units"),
        (dict(method="lanczos"), "is not for the trace of ntk"),
        (dict(max_matvecs=0), "max_matvecs = 0 is too small"),
    ]:
        with pytest.raises(ValueError, match=said):
            a.trace(**wrong)
    with pytest.raises(AttributeError, match="no eigenvectors here; ask for it with vectors=True"):
        _ = a.eigenpairs(count=2).eigenvectors


def test_two_models_are_aligned(layer: nn.GRU, inputs: torch.Tensor, model: kpflow.Model) -> None:
    other = nn.GRU(2, 5, batch_first=True).double()
    b = kpflow.ntk(other, inputs)
    x, y = model.ntk @ np.eye(90), b @ np.eye(90)
    right = (x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    np.testing.assert_allclose(float(model.ntk.alignment(b)), right, rtol=1e-9)
    with pytest.raises(ValueError, match="with ntk of another model, not with parameter"):
        model.ntk.alignment(b.model.parameter)


def test_error_signals_and_vectors(model: kpflow.Model) -> None:
    a, e = model.ntk, np.random.default_rng(1).standard_normal((3, 6, 5))
    found = a.learnability(e, learning_rate=0.1, count=3)
    np.testing.assert_allclose(found.predicted_decrease, 0.1 * (e * (a @ e)).sum(), rtol=1e-9)
    assert found.energies.shape == (3,)
    np.testing.assert_allclose(a.learnability(torch.from_numpy(e).reshape(-1)).value, found.value, rtol=1e-9)
    np.testing.assert_allclose(a.apply(e).product, a @ e, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        model.propagator.apply(e, adjoint=True).product, model.propagator.T @ e, rtol=1e-12, atol=1e-12
    )
    with pytest.raises(
        ValueError, match=r"^signal has shape \[3, 6, 4\]; an error signal is as the state, \[3, 6, 5\]"
    ):
        a.learnability(e[:, :, :4])


def test_the_same_seed_gives_the_same_number(layer: nn.GRU, inputs: torch.Tensor) -> None:
    keys = dict(method="hutchinson", rtol=0.0, max_matvecs=40)
    a = kpflow.ntk(layer, inputs, seed=3)
    value = a.trace(**keys).value
    assert kpflow.ntk(layer, inputs, seed=3, threads=1).trace(**keys).value == pytest.approx(value, rel=1e-12)
    assert a.trace(**keys, seed=4).value != value
    assert kpflow.ntk(layer, inputs, seed=4).trace(**keys).value == pytest.approx(
        a.trace(**keys, seed=4).value, rel=1e-12
    )


def test_lengths(layer: nn.GRU, inputs: torch.Tensor) -> None:
    model = kpflow.linearize(layer, inputs, lengths=[6, 4, 2])
    assert model.lengths == [6, 4, 2]
    y = model.ntk @ np.ones((3, 6, 5))
    assert np.all(y[1, 4:] == 0.0) and np.all(y[2, 2:] == 0.0)
    short = kpflow.ntk(layer, inputs[1:2, :4])
    alone = np.zeros((3, 6, 5))
    alone[1, :4] = 1.0
    np.testing.assert_allclose((model.ntk @ alone)[1, :4], (short @ np.ones((1, 4, 5)))[0], rtol=1e-12)


def test_state_dicts_and_files(tmp_path: Path, layer: nn.GRU, inputs: torch.Tensor, model: kpflow.Model) -> None:
    right = float(model.ntk.trace())
    named = {f"rnn.{name}": p for name, p in layer.state_dict().items()}
    assert float(kpflow.ntk(named, inputs, kind="gru", prefix="rnn.").trace()) == pytest.approx(right, rel=1e-12)
    in_numpy = {name: p.numpy() for name, p in named.items()}
    assert float(kpflow.ntk(in_numpy, inputs.tolist(), kind="gru", prefix="rnn.").trace()) == pytest.approx(
        right, rel=1e-12
    )
    torch.save(layer.state_dict(), tmp_path / "w.pt")
    np.save(tmp_path / "x.npy", inputs.numpy())
    (tmp_path / "job.toml").write_text(
        '[model]\nkind = "gru"\nweights = "w.pt"\n[data]\ninputs = "x.npy"\n'
        '[[analysis]]\nname = "t"\nquantity = "trace"\n'
        '[[analysis]]\nname = "modes"\nquantity = "eigenpairs"\ncount = 3\nvectors = true\n'
    )
    from_file = kpflow.ntk(str(tmp_path / "w.pt"), tmp_path / "x.npy", kind="gru")
    assert float(from_file.trace()) == pytest.approx(right, rel=1e-12)
    loaded = kpflow.load(tmp_path / "job.toml")
    assert float(loaded.ntk.trace()) == pytest.approx(right, rel=1e-12)
    assert float(loaded.ntk.alignment(model.ntk)) == pytest.approx(1.0) == float(model.ntk.alignment(loaded.ntk))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = layer, nn.Linear(5, 2).double()

    net = Net()
    assert float(kpflow.ntk(net, inputs, kind="gru", prefix="rnn.").trace()) == pytest.approx(right, rel=1e-12)

    results = kpflow.run(tmp_path / "job.toml")
    assert list(results) == ["t", "modes"] and results.shape == (3, 6, 5) and results.complete
    assert float(results["t"]) == pytest.approx(right, rel=1e-12) and isinstance(results["t"], kpflow.Estimate)
    assert results["modes"].eigenvectors.shape == (3, 3, 6, 5)
    assert "trace" not in results and "gru with" in repr(results)
    with pytest.raises(KeyError, match="has no analysis x; it has t, modes"):
        results["x"]
    again = pickle.loads(pickle.dumps(kpflow.open(tmp_path / "results.h5")))
    np.testing.assert_array_equal(again["modes"].eigenvectors, results["modes"].eigenvectors)
    assert results.report(tmp_path / "page.html").stat().st_size > 1000
    with pytest.raises(ValueError, match="job.toml"):
        kpflow.open(tmp_path / "job.toml")
    with pytest.raises(ValueError, match="jib.toml: cannot be read: No such file or directory; did you mean job.toml"):
        kpflow.run(tmp_path / "jib.toml")
    torch.save(layer.state_dict(), tmp_path / "v.pt")
    text = (tmp_path / "job.toml").read_text().replace('"w.pt"', '["w.pt", "v.pt"]')
    (tmp_path / "several.toml").write_text(text.replace("[data]", "[data]", 1) + "")
    stages = kpflow.run(tmp_path / "several.toml", output=tmp_path / "several.h5")
    assert [s.stage for s in stages.stages] == ["w", "v"] and stages.stage == "v"
    with pytest.raises(ValueError, match="several checkpoints"):
        kpflow.load(tmp_path / "several.toml")


def test_graphs(golden: Path) -> None:
    onnx = golden.parent / "reference/onnx"
    loaded = kpflow.load(onnx / "cnn.toml")
    graph = (onnx / "cnn.onnx").read_bytes()
    model = kpflow.linearize(graph, f"{onnx}/cnn.h5:/inputs", dtype="float32")
    assert model.kind == "onnx" and model.shape == loaded.shape and model.dtype == np.float32
    np.testing.assert_array_equal(model.ntk @ np.ones(9), loaded.ntk @ np.ones(9))
    with pytest.raises(ValueError, match="^graph: is not an ONNX model"):
        kpflow.linearize(graph[:50], np.ones((1, 2)))


def test_what_is_wrong_is_said(layer: nn.GRU, inputs: torch.Tensor, tmp_path: Path) -> None:
    bad = inputs.clone()
    bad[1, 2, 0] = math.nan
    tied = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    tied[2].weight = tied[0].weight
    frozen = nn.Linear(2, 2).requires_grad_(False)
    drops = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    train = nn.GRU(2, 3, num_layers=2, dropout=0.5, batch_first=True)
    for ask, said in [
        (lambda: kpflow.ntk(layer, bad), r"^inputs is NaN at index \[1, 2, 0\]"),
        (lambda: kpflow.ntk(layer, inputs[:, :, :1]), r"inputs of shape \[B, 6, 1\]; this model reads \[B, T, 2\]"),
        (lambda: kpflow.ntk(layer, inputs, actvation="relu"), 'unknown key "actvation"; did you mean "activation"'),
        (lambda: kpflow.ntk({"a": np.ones(2)}, inputs), "say kind="),
        (lambda: kpflow.ntk({"a": np.ones(2)}, inputs, kind="gru"), "^state_dict: has no tensor weight_"),
        (lambda: kpflow.ntk(layer, inputs, kind="lstm"), "^module: tensor weight_.* has shape"),
        (lambda: kpflow.ntk(layer), "inputs is missing"),
        (lambda: kpflow.ntk(3, inputs), "int is no model"),
        (lambda: kpflow.ntk(nn.Sequential(frozen), inputs[:, 0]), "no parameter of the module has requires_grad"),
        (lambda: kpflow.ntk(train, inputs), r"training mode.*module.eval\(\)"),
        (lambda: kpflow.ntk(drops, inputs[:, 0]), r"training mode; call module.eval\(\)"),
            (lambda: kpflow.ntk(nn.LSTM(2, 4, proj_size=3, batch_first=True), inputs), "projected LSTM"),
        (lambda: kpflow.ntk(layer, inputs, dtype="int8"), "dtype is int8"),
        (lambda: kpflow.ntk(layer, np.array([["a"]])), "is not read"),
        (lambda: kpflow.ntk(layer, inputs, initial_state=np.ones((3, 4))), r"initial_state has shape \[3, 4\]"),
        (lambda: kpflow.load(tmp_path / "none.toml"), "none.toml: cannot be read"),
        (lambda: kpflow.ntk("none.pt", inputs, kind="gru"), "none.pt: cannot be read"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=said):
            ask()


def test_warnings_are_warnings(layer: nn.GRU, inputs: torch.Tensor, capfd: pytest.CaptureFixture[str]) -> None:
    padded = inputs.clone()
    padded[1, 3:] = 0.0
    with pytest.warns(UserWarning, match="end in"):
        model = kpflow.linearize(layer, padded)
    assert len(model.warnings) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kpflow.linearize(layer, inputs).ntk.trace()
    # No output of its own.
    assert capfd.readouterr() == ("", "")


def interrupted(work: Any, after: float) -> float:
    """How long work goes on that is interrupted."""
    timer = threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    clock = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work()
    return time.monotonic() - clock - after


def test_interrupts(layer: nn.GRU, inputs: torch.Tensor, tmp_path: Path) -> None:
    a = kpflow.ntk(layer, inputs)
    long = dict(method="hutchinson", rtol=0.0, max_matvecs=10**8)
    assert interrupted(lambda: a.trace(**long), 0.4) < 1.0
    assert a.trace().value > 0.0
    big = np.ones((90, 200_000))
    assert interrupted(lambda: [a @ big for _ in range(1000)], 0.4) < 1.0
    assert a.trace().value > 0.0
    torch.save(layer.state_dict(), tmp_path / "w.pt")
    np.save(tmp_path / "x.npy", inputs.numpy())
    (tmp_path / "job.toml").write_text(
        '[model]\nkind = "gru"\nweights = "w.pt"\n[data]\ninputs = "x.npy"\n[[analysis]]\nname = "t"\n'
        'quantity = "trace"\nmethod = "hutchinson"\nrtol = 0.0\nmax_matvecs = 100000000\n'
    )
    assert interrupted(lambda: kpflow.run(tmp_path / "job.toml"), 3.0) < 1.5
    assert not kpflow.open(tmp_path / "results.h5").complete


def test_other_threads_go_on(model: kpflow.Model) -> None:
    counted = [0]
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    model.ntk.trace(method="hutchinson", rtol=0.0, max_matvecs=100_000)
    before = counted[0]
    done.set()
    thread.join()
    assert before > 20
    # Several ask one model at once.
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(model.ntk.trace().value)) for _ in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(set(found)) == 1 and len(found) == 4


def _in_child(model: kpflow.Model, queue: Any) -> None:
    try:
        model.ntk @ np.ones(90)
    except RuntimeError as e:
        queue.put(str(e))


def test_a_forked_process_is_told(model: kpflow.Model) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(model, queue))
    child.start()
    assert "the model is closed: it is of another process" in queue.get(timeout=20)
    child.join()
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(model)


def test_numbers_and_their_errors() -> None:
    assert told(222_100.0, 1_000.0) == "2.22e5 ± 1e3"
    assert told(3.14159, 0.01) == "3.14 ± 0.01"
    assert told(0.0, 0.0) == "0" and told(12.5, 0.0) == "12.5"
    assert told(1e-7, 2e-9) == "1.00e-7 ± 2e-9"
    assert told(5.0, math.inf) == "5 ± inf"
    assert told(0.00446, 5e-19) == "0.00446 ± 5e-19"
    fields = dict(
        quantity="trace", operator="ntk", method="exact", converged=True, matvecs=0, seconds=0.0, status="exact"
    )
    estimate = kpflow.Estimate(fields, {"value": 2.0, "standard_error": 0.0})
    assert f"{estimate:.2f}" == "2.00" and f"{estimate}" == "2" and float(estimate) == 2.0


def test_the_program_is_there() -> None:
    import subprocess
    import sys

    told = subprocess.run([sys.executable, "-m", "kpflow", "--version"], capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.startswith("kpflow 0.")
    wrong = subprocess.run([sys.executable, "-m", "kpflow", "rum"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "did you mean" in wrong.stderr or "similar" in wrong.stderr
    assert '"quantities"' in _kpflow.quantities()
