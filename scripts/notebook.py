#!/usr/bin/env python3
"""A page of the book as a notebook: its blocks of Python are the cells, in their order, and its text stands between.

    notebook.py PAGE.md NOTEBOOK.ipynb
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

# A block of Python, and what a comment just above it says.
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^>]*) -->\n)?^```python\n(?P<code>.*?)^```$\n?", re.MULTILINE | re.DOTALL)


def cells(page: str) -> list[tuple[str, str]]:
    """Kinds ("markdown" or "code") and texts, in their order; what is marked "not run: WHY" stays text."""
    found, at = [], 0
    for block in BLOCK.finditer(page):
        if (block["mark"] or "").startswith("not run"):
            continue
        found += [("markdown", page[at : block.start()].strip()), ("code", block["code"].strip())]
        at = block.end()
    found.append(("markdown", page[at:].strip()))
    return [(kind, text) for kind, text in found if text]


def notebook(page: str) -> dict[str, object]:
    """The notebook, as JSON has it (nbformat 4.5)."""
    made: list[dict[str, object]] = []
    for kind, text in cells(page):
        cell: dict[str, object] = {"cell_type": kind, "id": f"c{len(made)}", "metadata": {}, "source": text}
        made.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    page, to = map(Path, sys.argv[1:])
    to.write_text(json.dumps(notebook(page.read_text()), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
