#!/usr/bin/env python3
"""Read result files of kpflow as numpy arrays, and as tables.

    from read_results import read, read_all, table

    results = read("results.h5")
    results["effective_rank"].value, results["effective_rank"].standard_error, results["effective_rank"].interval   # its 95 % interval
    results["modes"]["eigenvalues"], results["modes"]["eigenvectors"]    # [k], [k, B, T, N], read when they are asked for
    table(read_all("results.*.h5"))                                      # a training run: one pandas table, in the order of its stages

From the command line: `python3 scripts/read_results.py results.*.h5` prints the table, `--csv FILE` writes it. Needs h5py and
numpy; pandas for tables, without which `table` gives a list of dictionaries.
"""

from __future__ import annotations

import argparse
import glob
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

COLUMNS = ("file", "stage", "stage_index", "analysis", "operator", "quantity", "method", "value", "standard_error",
           "interval_low", "interval_high", "converged", "matvecs", "seconds", "status", "with_stage")  # fmt: skip


def _open(path: Path) -> h5py.File:
    """Open a file to read it; one that another process may write to is called that."""
    try:
        return h5py.File(path, "r")
    except OSError as e:
        if "unable to lock" not in str(e) and "already open for" not in str(e):
            raise
        raise OSError(f"{path} is open in another process that may write to it; close it there, or open it there with mode 'r'") from e


@dataclass(frozen=True)
class Analysis:
    """One analysis of a result file; `analysis["eigenvalues"]` reads one of its arrays."""

    file: Path
    name: str
    operator: str
    quantity: str
    method: str
    converged: bool
    matvecs: int
    seconds: float
    status: str
    value: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    with_stage: str | None
    arrays: tuple[str, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise KeyError(f"{self.file}: analysis {self.name} has no {name}; it has {', '.join(self.arrays)}")
        with _open(self.file) as f:
            return np.asarray(f[f"analysis/{self.name}/{name}"])

    @property
    def interval_low(self) -> float | None:
        """The lower end of the 95 % interval; None in files of earlier versions."""
        return None if self.interval is None else self.interval[0]

    @property
    def interval_high(self) -> float | None:
        """The upper end; infinite where the samples allow none."""
        return None if self.interval is None else self.interval[1]

    @property
    def number(self) -> float:
        """The value; of eigenpairs and singular triplets the largest one."""
        if self.value is not None:
            return self.value
        largest = [self[name][0] for name in ("eigenvalues", "singular_values") if name in self.arrays]
        return float(largest[0]) if largest else float("nan")


@dataclass(frozen=True)
class Results:
    """A result file. Its root's further attributes (parameters, seed, ranks …) are in `attributes`."""

    file: Path
    job: str
    model: str
    shape: tuple[int, int, int]
    status: str
    stage: str | None
    stage_index: int | None
    attributes: dict[str, Any] = field(repr=False)
    analyses: dict[str, Analysis] = field(repr=False)
    variables: dict[str, tuple[int, int, int, int]] = field(repr=False)

    def __getitem__(self, name: str) -> Analysis:
        if name not in self.analyses:
            raise KeyError(f"{self.file}: there is no analysis {name}; there are {', '.join(self.analyses)}")
        return self.analyses[name]

    def __iter__(self) -> Iterator[Analysis]:
        return iter(self.analyses.values())

    @property
    def state(self) -> np.ndarray:
        """The state [B, T, N], which is there if the job says `[output] state = true`."""
        with _open(self.file) as f:
            if "state/values" not in f:
                raise KeyError(f"{self.file}: the state was not written; the job needs [output] state = true")
            return np.asarray(f["state/values"])

    def variable(self, name: str, tensor: np.ndarray) -> np.ndarray:
        """The part [..., positions, width] of a state tensor [..., T, N] that is one variable's: `variable("h_l1", state)`."""
        if name not in self.variables:
            raise KeyError(f"{self.file}: there is no variable {name}; there are {', '.join(self.variables)}")
        offset, stride, positions, width = self.variables[name]
        flat = tensor.reshape(*tensor.shape[:-2], -1)
        return np.stack([flat[..., offset + p * stride :][..., :width] for p in range(positions)], axis=-2)


def read(file: str | Path) -> Results:
    """Read a result file, also one that is not complete: what is finished is there."""
    path = Path(file)
    with _open(path) as f:
        if f.attrs.get("format") != "kpflow-results":
            raise ValueError(f"{path} is not a result file of kpflow")
        attributes = {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in f.attrs.items()}
        names = [n.decode() for n in f["state/variables"]]
        layout = [(int(a), int(b), int(c), int(d)) for a, b, c, d in f["state/layout"]]
        return Results(
            file=path, job=attributes["job"], model=attributes["model"], shape=tuple(attributes["shape"]),
            status=attributes["status"], stage=attributes.get("stage"), stage_index=attributes.get("stage_index"),
            attributes=attributes, analyses={name: _analysis(path, name, g) for name, g in f["analysis"].items()},
            variables=dict(zip(names, layout, strict=True)),
        )  # fmt: skip


def _analysis(file: Path, name: str, group: h5py.Group) -> Analysis:
    attributes, scalar = group.attrs, lambda key: float(group[key][()]) if key in group else None
    interval = (float(group["interval"][0]), float(group["interval"][1])) if "interval" in group else None
    return Analysis(
        file=file, name=name, operator=attributes["operator"], quantity=attributes["quantity"],
        method=attributes["method"], converged=bool(attributes["converged"]), matvecs=int(attributes["matvecs"]),
        seconds=float(attributes["seconds"]), status=attributes["status"], value=scalar("value"),
        standard_error=scalar("standard_error"), interval=interval, with_stage=attributes.get("with_stage"), arrays=tuple(group),
    )  # fmt: skip


def read_all(files: str | Path | Iterable[str | Path]) -> list[Results]:
    """Read several result files, by name or by pattern: stages in their order, other files as their numbers are."""
    patterns: list[str | Path] = [files] if isinstance(files, str | Path) else list(files)
    paths = [path for pattern in patterns for path in (glob.glob(str(pattern)) or [str(pattern)])]
    natural = lambda path: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", str(path))]
    results = [read(path) for path in sorted(dict.fromkeys(paths), key=natural)]
    return sorted(results, key=lambda r: -1 if r.stage_index is None else r.stage_index)


def table(results: Results | Iterable[Results]) -> Any:
    """One row an analysis: a pandas DataFrame; a list of dictionaries where there is no pandas."""
    several = [results] if isinstance(results, Results) else list(results)
    rows = [
        {"file": str(r.file), "stage": r.stage, "stage_index": r.stage_index, "analysis": a.name, "value": a.number}
        | {key: getattr(a, key) for key in COLUMNS if key not in ("file", "stage", "stage_index", "analysis", "value")}
        for r in several
        for a in r
    ]
    rows = [{key: row[key] for key in COLUMNS} for row in rows]
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _print(rows: Any) -> None:
    rows = rows if isinstance(rows, list) else rows.to_dict("records")
    shown = ["file", "stage", "analysis", "operator", "quantity", "value", "standard_error", "status"]
    if not any(isinstance(r["stage"], str) for r in rows):
        shown.remove("stage")
    cells = [[f"{r[c]:.6g}" if isinstance(r[c], float) else str(r[c]) for c in shown] for r in rows]
    widths = [max(map(len, column)) for column in zip(shown, *cells, strict=True)]
    for row in (shown, *cells):
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description="Print result files of kpflow as one table.")
    parser.add_argument("files", nargs="+", help="result files, or patterns of them")
    parser.add_argument("--csv", metavar="FILE", help="write the table here instead")
    a = parser.parse_args()
    try:
        rows = table(read_all(a.files))
    except (OSError, ValueError) as e:
        sys.exit(f"error: {e}")
    if a.csv is None:
        _print(rows)
    elif isinstance(rows, list):
        sys.exit("error: --csv needs pandas: pip install pandas")
    else:
        rows.to_csv(a.csv, index=False)


if __name__ == "__main__":
    main()
