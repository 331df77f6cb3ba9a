"""The first lines of Python of both README.md, the package's and the project's, are run: they are the same."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import kpflow


def test_the_first_lines() -> None:
    here = Path(__file__).parents
    code, first = (
        re.findall(r"^```python\n(.*?)^```$", (directory / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
        for directory in (here[1], here[3])
    )
    assert code == first
    *lines, last = code.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    moved = eval(last.split("#")[0], names)
    assert isinstance(moved, torch.Tensor) and moved.shape == (8, 50, 64)
    assert isinstance(names["ntk"], kpflow.Operator)
