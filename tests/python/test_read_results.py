"""What read_results reads is what is in the files."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
import read_results
from read_results import read, read_all, table


def job(golden, weights: str) -> str:
    analyses = "".join(
        f'[[analysis]]\nname = "{name}"\n{rest}\n'
        for name, rest in [
            ("trace", 'quantity = "trace"\nmethod = "hutchinson"\nmax_matvecs = 30'),
            ("modes", 'operator = "parameter"\nquantity = "eigenpairs"\ncount = 3\nvectors = true'),
            ("singular", 'operator = "propagator"\nquantity = "singular_triplets"\ncount = 2'),
            ("time", 'quantity = "marginal"\naxis = "time"'),
        ]
    )
    return (
        f'[model]\nkind = "lstm"\nweights = {weights}\n[data]\ninputs = "{golden}/lstm.h5:/inputs"\n'
        f"[output]\nstate = true\n{analyses}"
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, golden, kpflow):
    directory = tmp_path_factory.mktemp("run")
    names = [f"{golden}/lstm.safetensors", f"{golden}/lstm.other.safetensors"]
    (directory / "job.toml").write_text(job(golden, str(names).replace("'", '"')))
    kpflow("run", directory / "job.toml")
    return directory


def test_one_file(run):
    results = read(run / "results.lstm.h5")
    b, t, n = results.shape
    assert results.model == "lstm" and results.status == "complete" and results.attributes["seed"] == 0
    assert (results.stage, results.stage_index) == ("lstm", 0)
    assert {a.name for a in results} == {"trace", "modes", "singular", "time"}
    with h5py.File(run / "results.lstm.h5") as f:
        g = f["analysis/trace"]
        trace = results["trace"]
        assert (trace.value, trace.standard_error) == (g["value"][()], g["standard_error"][()])
        low, high = trace.interval
        assert [low, high] == g["interval"][:].tolist() and 0 < low < trace.value < high
        # Few samples of squares: there is more room above. 1.96 standard errors are the wider half.
        assert high - trace.value > trace.value - low and high - trace.value == pytest.approx(1.96 * trace.standard_error, rel=1e-3)
        assert (trace.matvecs, trace.method, trace.operator) == (g.attrs["matvecs"], "hutchinson", "ntk")
        assert np.array_equal(results["modes"]["eigenvalues"], f["analysis/modes/eigenvalues"][:])
    assert results["modes"]["eigenvectors"].shape == (3, b, t, n)
    assert results["modes"].value is None and results["modes"].number == results["modes"]["eigenvalues"][0]
    assert results["singular"].number == results["singular"]["singular_values"][0]
    assert results.state.shape == (b, t, n)
    assert np.array_equal(results.variable("h", results.state), results.state[..., : n // 2])
    assert np.array_equal(results.variable("c", results["modes"]["eigenvectors"])[2], results["modes"]["eigenvectors"][2, ..., n // 2 :])
    for lookup in (lambda: results["nothing"], lambda: results["trace"]["eigenvalues"], lambda: results.variable("x", results.state)):
        with pytest.raises(KeyError, match="there are|it has"):
            lookup()


def test_a_file_of_before(run, tmp_path):
    path = tmp_path / "before.h5"
    path.write_bytes((run / "results.lstm.h5").read_bytes())
    with h5py.File(path, "r+") as f:
        del f["analysis/trace/interval"]
    trace = read(path)["trace"]
    assert (trace.interval, trace.interval_low, trace.interval_high) == (None, None, None) and trace.standard_error > 0


def test_several_files(run):
    pandas = pytest.importorskip("pandas")
    results = read_all(str(run / "results.*.h5"))
    assert [r.stage for r in results] == ["lstm", "lstm.other"]
    frame = table(results)
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 4 + 4 + 2
    aligned = frame[frame["analysis"] == "alignment.ntk.lstm"].iloc[0]
    assert aligned["with_stage"] == "lstm" and 0 < aligned["value"] < 1
    by_stage = frame.pivot(index="stage", columns="analysis", values="value")
    assert by_stage.loc["lstm", "trace"] == results[0]["trace"].value
    assert by_stage.loc["lstm.other", "modes"] == results[1]["modes"]["eigenvalues"][0]


def test_without_pandas(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = table(read(run / "results.lstm.h5"))
    assert isinstance(rows, list) and set(rows[0]) == set(read_results.COLUMNS)


def test_command_line(run, scripts, tmp_path):
    command = [sys.executable, scripts / "read_results.py", run / "results.lstm.h5", run / "results.lstm.other.h5"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(printed) == 11 and printed[0].split()[:3] == ["file", "stage", "analysis"]
    (tmp_path / "x.h5").write_text("no")
    with h5py.File(tmp_path / "y.h5", "w") as f:
        f["inputs"] = 1.0
    for name in ("x.h5", "y.h5", "z.h5"):
        done = subprocess.run([*command[:2], tmp_path / name], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    pytest.importorskip("pandas")
    subprocess.run([*command, "--csv", tmp_path / "t.csv"], check=True)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 11


def test_a_file_that_is_open_elsewhere(run, tmp_path):
    path = tmp_path / "r.h5"
    path.write_bytes((run / "results.lstm.h5").read_bytes())
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(OSError, match="is open in another process .*close it there, or"):
            read(path)
        holder.stdin.close()
    assert read(path).status == "complete"
