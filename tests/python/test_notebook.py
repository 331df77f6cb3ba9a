"""The example runs as it is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys


def test_the_example_runs(tmp_path, scripts, kpflow):
    environment = os.environ | {"MPLBACKEND": "Agg", "KPFLOW": os.environ.get("KPFLOW", str(scripts.parent / "target/debug/kpflow"))}
    command = [sys.executable, scripts / "example_notebook.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (float(word) for word in done.stdout.split("loss ")[1].split(" after")[0].split(" before, "))
    assert after < before / 2, done.stdout
    assert len(list((tmp_path / "example").glob("gru.results.step*.h5"))) == 5
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "example/figure.png").stat().st_size > 10_000
