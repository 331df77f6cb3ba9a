"""The Python of the book's pages about the package is run, as text and as a notebook."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
BOOK = ROOT / "docs/src"
sys.path.insert(0, str(ROOT / "scripts"))
from notebook import BLOCK, cells, notebook  # noqa: E402


def value(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; what its last line is, if it is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<page>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<page>", "eval"), names) if last is not None else None


def test_from_a_notebook_as_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = [value(code, names) for kind, code in cells((BOOK / "from-a-notebook.md").read_text()) if kind == "code"]
    assert len(plt.get_fignums()) == 3 and list(tmp_path.iterdir()) == []
    plt.close("all")
    # What the text says: training makes it learn, and leaves few directions.
    assert sum(names["losses"][-10:]) / 10 < 0.7 * names["losses"][0]
    assert names["ranks"][300].value < names["ranks"][0].value
    assert any("<img " in cell._repr_html_() for cell in found if hasattr(cell, "_repr_html_"))


def test_from_a_notebook_as_a_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel") and pytest.importorskip("matplotlib_inline")
    page = nbformat.from_dict(notebook((BOOK / "from-a-notebook.md").read_text()))
    nbformat.validate(page)
    nbclient.NotebookClient(page, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in page.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3
    assert any("image/svg+xml" in output.get("data", {}).get("text/html", "") for output in shown)


# A table's two cells, and what a comment says of the first.
PAIR = re.compile(r"<td>\n\n(?P<theirs>.*?)\n</td><td>\n\n(?P<ours>.*?)\n</td>", re.DOTALL)


def test_coming_from_other_packages() -> None:
    page = (BOOK / "coming-from.md").read_text()
    (setup, *_) = BLOCK.finditer(page)
    names: dict[str, Any] = {}
    value(setup["code"], names)
    compared = 0
    for pair in PAIR.finditer(page):
        (theirs,), (ours,) = BLOCK.finditer(pair["theirs"] + "\n"), BLOCK.finditer(pair["ours"] + "\n")
        mark = theirs["mark"] or ""
        needs = mark.removeprefix("needs: ")
        left_out = mark.startswith("not run") or (needs != "" and importlib.util.find_spec(needs) is None)
        right = None if left_out else numbers(value(theirs["code"], names))
        found = numbers(value(ours["code"], names))
        assert found.size and np.isfinite(found).all()
        if right is not None:
            assert right.shape == found.shape, theirs["code"]
            assert np.abs(right - found).max() <= 1e-9 * np.abs(right).max(), theirs["code"]
            compared += 1
    assert compared >= 7


def numbers(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(x.detach() if hasattr(x, "detach") else x)
