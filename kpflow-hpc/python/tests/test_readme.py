"""The lines of README.md are run."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import kpflow


def test_the_first_lines() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    *lines, last = code.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    moved = eval(last.split("#")[0], names)
    assert isinstance(moved, torch.Tensor) and moved.shape == (8, 50, 64)
    assert isinstance(names["ntk"], kpflow.Operator)
