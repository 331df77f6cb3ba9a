"""What is exported of a torch module is that module: its state, its loss's gradient, its NTK."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from export_recurrent import export_recurrent
from read_results import read
from torch import Tensor, nn

B, T, N_IN, H = 4, 6, 3, 5


class Net(nn.Module):
    """An encoder, a recurrent layer by any other name, a readout of its output or of its last state."""

    def __init__(self, layer: nn.Module, start: Tensor | tuple | None, last: bool) -> None:
        super().__init__()
        self.encoder, self.dynamics, self.start, self.last = nn.Linear(2, N_IN), layer, start, last
        self.readout = nn.Linear(H * (1 + layer.bidirectional), 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)
        if not self.dynamics.batch_first:
            x = x.transpose(0, 1)
        out, state = self.dynamics(x) if self.start is None else self.dynamics(x, self.start)
        if self.last:
            h = state[0] + 2 * state[1] if isinstance(state, tuple) else state
            ways = 1 + self.dynamics.bidirectional
            return self.readout(torch.cat(list(h[:ways]), -1)) + self.readout(torch.cat(list(h[-ways:]), -1))
        return self.readout(out if self.dynamics.batch_first else out.transpose(0, 1))


class Stepped(nn.Module):
    """A cell, step by step; read at every step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.core, self.readout = nn.ModuleDict({"cell": cell}), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        state, out = None, []
        for t in range(x.shape[1]):
            state = self.core["cell"](x[:, t], state)
            out.append(self.readout(state[0] if isinstance(state, tuple) else state))
        return torch.stack(out, 1)


def layers(kind: type[nn.Module], **options: object) -> tuple[nn.Module, int]:
    options = {"batch_first": True, "num_layers": 1, "bidirectional": False} | options
    return kind(N_IN, H, dtype=torch.float64, **options), options["num_layers"] * (1 + options["bidirectional"])


CASES = {
    "rnn": (nn.RNN, {}, False, False),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}, False, True),
    "gru": (nn.GRU, {}, False, False),
    "gru_start_last": (nn.GRU, {"num_layers": 2, "batch_first": False}, True, True),
    "gru_both_ways": (nn.GRU, {"num_layers": 2, "bidirectional": True}, True, False),
    "gru_both_ways_last": (nn.GRU, {"num_layers": 2, "bidirectional": True}, False, True),
    "lstm": (nn.LSTM, {}, False, False),
    "lstm_start_last": (nn.LSTM, {"num_layers": 2}, True, True),
    "lstm_both_ways_last": (nn.LSTM, {"bidirectional": True, "bias": False}, True, True),
}


def with_state(path) -> None:
    """Has the job write the state too, and all modes."""
    text = path.read_text().replace("[output]\n", "[output]\nstate = true\n")
    path.write_text(text)


@pytest.mark.parametrize("case", CASES)
def test_layers(case, tmp_path, kpflow):
    kind, options, started, last = CASES[case]
    torch.manual_seed(1)
    layer, count = layers(kind, **options)
    h0 = lambda: torch.randn(count, B, H, dtype=torch.float64)
    start = None if not started else (h0(), h0()) if kind is nn.LSTM else h0()
    module = Net(layer, start, last).double()
    x, y = torch.randn(B, T, 2).double(), torch.randn(*((B, 2) if last else (B, T, 2))).double()
    assert export_recurrent(module, x, tmp_path / "job", targets=y) == "dynamics"
    text = (tmp_path / "job.toml").read_text()
    assert 'prefix  = "dynamics."' in text and ("initial_state" in text) == started
    with_state(tmp_path / "job.toml")
    kpflow("run", tmp_path / "job.toml")
    results = read(tmp_path / "job.results.h5")

    read_by = module.encoder(x)
    if layer.batch_first:
        out, _ = layer(read_by, start)
    else:
        out = layer(read_by.transpose(0, 1), start)[0].transpose(0, 1)
    ways, top = 1 + layer.bidirectional, layer.num_layers - 1
    names = [f"h_l{top}{'_reverse' * d}" if count > 1 else "h" for d in range(ways)]
    state = np.concatenate([results.variable(n, results.state) for n in names], -1)
    assert np.abs(state - out.detach().numpy()).max() < 1e-12

    # Jᵀ Pᵀ e is the gradient: eᵀ NTK e is its square.
    loss = nn.functional.mse_loss(module(x), y)
    gradient = torch.autograd.grad(loss, list(layer.parameters()))
    square = sum((g**2).sum().item() for g in gradient)
    assert float(results["learnability"]["predicted_decrease"]) == pytest.approx(square, rel=1e-9)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells(kind, tmp_path, kpflow):
    torch.manual_seed(2)
    module = Stepped(kind(2, H)).double()
    x, y = torch.randn(B, T, 2).double(), torch.randn(B, T, 2).double()
    assert export_recurrent(module, x, tmp_path / "job", targets=y) == "core.cell"
    kpflow("run", tmp_path / "job.toml")
    gradient = torch.autograd.grad(nn.functional.mse_loss(module(x), y), list(module.core.parameters()))
    square = sum((g**2).sum().item() for g in gradient)
    learnability = read(tmp_path / "job.results.h5")["learnability"]
    assert float(learnability["predicted_decrease"]) == pytest.approx(square, rel=1e-9)


def test_the_ntk(tmp_path, kpflow):
    """Trace, effective rank and modes against the whole matrix by torch.func."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.GRU(2, H, batch_first=True)).double()
    x = torch.randn(B, T, 2).double()
    assert export_recurrent(module, x, tmp_path / "job") == "0"
    kpflow("run", tmp_path / "job.toml")
    results = read(tmp_path / "job.results.h5")
    theta = {k: v.detach() for k, v in module[0].named_parameters()}
    state = lambda p: torch.func.functional_call(module[0], p, (x,))[0].reshape(-1)
    jacobian = torch.cat([j.reshape(B * T * H, -1) for j in torch.func.jacrev(state)(theta).values()], 1)
    eigenvalues = torch.linalg.eigvalsh(jacobian @ jacobian.T).flip(0).numpy()
    assert results["trace"].value == pytest.approx(eigenvalues.sum(), rel=1e-10)
    rank = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert results["effective_rank"].value == pytest.approx(rank, rel=1e-8)
    assert np.allclose(results["modes"]["eigenvalues"], eigenvalues[:20], rtol=1e-8, atol=0)


def test_a_training_run(tmp_path, kpflow):
    from safetensors.torch import save_file

    torch.manual_seed(4)
    module, x = nn.Sequential(nn.GRU(2, H, batch_first=True)), torch.randn(B, T, 2)
    for step in (5, 10, 0):
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        torch.nn.init.normal_(module[0].weight_hh_l0, std=0.1 + step / 10)
        save_file(module.state_dict(), tmp_path / f"checkpoints/step{step}.safetensors")
    export_recurrent(module, x, tmp_path / "out/job", weights=tmp_path / "checkpoints/*.safetensors")
    assert 'weights = "../checkpoints/*.safetensors"' in (tmp_path / "out/job.toml").read_text()
    kpflow("run", tmp_path / "out/job.toml")
    found = [read(tmp_path / f"out/job.results.step{step}.h5") for step in (0, 5, 10)]
    assert [r.stage_index for r in found] == [0, 1, 2]
    assert "alignment.ntk.step5" in found[2].analyses and found[2]["alignment.ntk.step0"].with_stage == "step0"


def test_classes(tmp_path):
    """Whole numbers are classes, of every step or of the last one."""
    torch.manual_seed(5)
    for last, shape in ((False, (B, T)), (True, (B,))):
        module, x, y = Net(layers(nn.GRU)[0], None, last).double(), torch.randn(B, T, 2).double(), torch.randint(2, shape)
        same = lambda output, y: nn.functional.cross_entropy(output.reshape(-1, 2), y.reshape(-1))
        export_recurrent(module, x, tmp_path / "a", targets=y)
        export_recurrent(module, x, tmp_path / "b", targets=y, loss=same)
        with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
            assert np.abs(a["error_signal"]).max() > 0 and np.array_equal(a["error_signal"], b["error_signal"])
        with pytest.raises(ValueError, match="targets are numbers of the output's shape, or classes"):
            export_recurrent(module, x, tmp_path / "c", targets=y.double())


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("case", [*CASES, "cell", "lstm_cell"])
def test_check_knows_the_layer(case, double, tmp_path, kpflow, attempt):
    """The layer that runs is the one that torch ran: its outputs are recorded."""
    torch.manual_seed(6)
    if case in ("cell", "lstm_cell"):
        module = Stepped(nn.GRUCell(2, H) if case == "cell" else nn.LSTMCell(2, H))
    else:
        kind, options, started, last = CASES[case]
        layer, count = layers(kind, **options)
        h0 = lambda: torch.randn(count, B, H, dtype=torch.float64 if double else torch.float32)
        module = Net(layer, None if not started else (h0(), h0()) if kind is nn.LSTM else h0(), last)
    module = module.double() if double else module.float()
    x = np.random.default_rng(0).normal(size=(B, T, 2))
    export_recurrent(module, x, tmp_path / "job")
    assert "ok     output" in kpflow("check", tmp_path / "job.toml")
    job = tmp_path / "job.toml"
    text = job.read_text()
    with h5py.File(tmp_path / "job.h5", "a") as file:
        file["outputs"][1, 2, 0] += 1e-3
    done = attempt("check", job)
    assert done.returncode == 1 and "trajectory 1, at [1, 2, 0]" in done.stderr and "is what it was" in done.stderr, done.stderr
    if case == "rnn_relu":
        job.write_text(text.replace('activation = "relu"', ""))
        done = attempt("check", job)
        assert done.returncode == 1 and "kind, activation or another key of [model]" in done.stderr, done.stderr


def test_mistakes(tmp_path):
    x = torch.zeros(B, T, 2)
    wrong = lambda module, match, **options: pytest.raises(ValueError, match=match)
    two = nn.Sequential(nn.GRU(2, 2), nn.GRU(2, 2))
    with wrong(two, "2 recurrent layers"):
        export_recurrent(two, x, tmp_path / "a")
    with wrong(two, "no recurrent layer 'x'"):
        export_recurrent(two, x, tmp_path / "a", layer="x")
    with wrong(None, "0 recurrent layers"):
        export_recurrent(nn.Linear(2, 2), x, tmp_path / "a")
    with wrong(None, "projected"):
        export_recurrent(nn.LSTM(2, 4, proj_size=2), x, tmp_path / "a")
    assert not any(tmp_path.iterdir())


def test_command_line(tmp_path, scripts, kpflow):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def model(): torch.manual_seed(0); return torch.nn.Sequential(torch.nn.GRU(2, 4, batch_first=True))\n"
        "def inputs(): return torch.ones(3, 5, 2)\n"
    )
    arguments = [f"{tmp_path}/mine.py:{name}" for name in ("model", "inputs")]
    command = [sys.executable, scripts / "export_torch.py", "--recurrent", *arguments, tmp_path / "out/net"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told == f"{tmp_path}/out/net.safetensors, .h5 and .toml written; next: kpflow run {tmp_path}/out/net.toml\n"
    kpflow("check", tmp_path / "out/net.toml")
    with h5py.File(tmp_path / "out/net.h5") as f:
        assert f["inputs"].shape == (3, 5, 2) and list(f) == ["inputs", "outputs"] and f["outputs"].shape == (3, 5, 4)
    # A mistake is one line; what the module's own code raises is shown whole.
    (tmp_path / "mine.py").write_text("def model(): raise ValueError('mine')\n")
    for spec, lines in ((f"{tmp_path}/mine.py:modle", 1), (f"{tmp_path}/yours.py:model", 1), (f"{tmp_path}/mine.py:model", 3)):
        done = subprocess.run([*command[:3], spec, *command[4:]], capture_output=True, text=True)
        assert done.returncode == 1 and (done.stderr.count("\n") == 1) == (lines == 1), done.stderr
