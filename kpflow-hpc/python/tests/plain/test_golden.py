"""Without torch: checkpoints and arrays of numpy against the golden data, results, the program."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import kpflow

GOLDEN = Path(__file__).resolve().parents[4] / "tests/golden"
NAMES = {"gru": "gru", "gru_h0": "gru", "lstm": "lstm", "rnn_tanh": "rnn", "leaky_rnn": "leaky_rnn"}


def close(a: object, b: object, to: float = 1e-9) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= to * np.abs(b).max()


def model(name: str, golden: h5py.File) -> kpflow.Model:
    start = {"initial_state": golden["initial_state"][:]} if "initial_state" in golden else {}
    said = json.loads(golden.attrs["options"])
    options = {key: said[key] for key in ("activation", "dt") if key in said}
    weights = GOLDEN / f"{name}.safetensors"
    return kpflow.linearize(weights, golden["inputs"][:], kind=NAMES[name], **start, **options)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    with h5py.File(GOLDEN / f"{name}.h5") as golden:
        found, reference, probe = model(name, golden), golden["reference"], golden["probe"][:]
        close(found.state, golden["state"][:])
        for operator in ("ntk", "parameter", "propagator", "constraint"):
            close(found.operator(operator) @ probe, reference[operator]["apply"][:])
            close(found.operator(operator).T @ probe, reference[operator]["apply_adjoint"][:])
        close(float(found.ntk.trace()), reference["ntk/trace"][()])
        close(float(found.parameter.effective_rank()), reference["parameter/effective_rank"][()])
        close(found.ntk.eigenpairs(count=5).eigenvalues, reference["ntk/eigenvalues"][:5])
        close(found.ntk.marginal("time").matrix, reference["ntk/marginal_time/matrix"][:])


def test_results_and_program(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f'[model]\nkind = "gru"\nweights = "{GOLDEN}/gru.safetensors"\n'
        f'[data]\ninputs = "{GOLDEN}/gru.h5:/inputs"\ninitial_state = "{GOLDEN}/gru.h5:/initial_state"\n'
        '[output]\nfile = "r.h5"\n[[analysis]]\nname = "t"\nquantity = "trace"\n'
    )
    results = kpflow.run(job)
    again = pickle.loads(pickle.dumps(results["t"]))
    assert again.interval == again.interval(0.95) and len(again.interval) == 2
    with pytest.raises(ValueError, match="one of 95 %"):
        again.interval(0.9)
    assert float(again) == float(results["t"]) == float(kpflow.load(job).ntk.trace())
    assert float(kpflow.open(tmp_path / "r.h5")["t"]) == float(again)
    told = subprocess.run([sys.executable, "-m", "kpflow", "info", job], capture_output=True, text=True)
    assert told.returncode in (0, 2) and told.stdout + told.stderr
    with pytest.raises(ValueError, match="none.safetensors"):
        kpflow.linearize(tmp_path / "none.safetensors", np.ones((1, 2, 3)), kind="gru")
