"""The graph way: the same numbers as the native one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from read_results import read

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def test_a_graph_and_a_layer_have_one_trace(tmp_path, kpflow, scripts):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class First(torch.nn.Module):\n"
        "    def __init__(self): super().__init__(); torch.manual_seed(0); self.rnn = torch.nn.GRU(2, 4, batch_first=True)\n"
        "    def forward(self, x): return self.rnn(x)[0]\n"
        "def model(): return First().double()\n"
        "def inputs(): torch.manual_seed(1); return torch.randn(3, 5, 2).double()\n"
    )
    arguments = [f"{tmp_path}/mine.py:{name}" for name in ("model", "inputs")]
    for flags, name in [([], "graph"), (["--recurrent"], "layer")]:
        command = [sys.executable, scripts / "export_torch.py", *flags, *arguments, tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        kpflow("run", tmp_path / f"{name}.toml", "--output", tmp_path / f"{name}_out.h5")
    graph, layer = (read(tmp_path / f"{name}_out.h5") for name in ("graph", "layer"))
    assert graph["ntk_trace"].value == pytest.approx(layer["trace"].value, rel=1e-10)
