"""Jobs that are run, and result files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from . import _kpflow, _quantities
from ._progress import Bars, seen
from ._results import Array, Result, array, told

# Seconds that a run has to keep what it has when it is interrupted; after that it ends by itself.
_END = 1.0


class Results(Mapping[str, Result]):
    """A result file: a mapping of its analyses by name. Vectors of the state's size are read when they are asked for.

    `model`, `parameters`, `shape` [B, T, N], `seed`, `precision`, `variables`, `complete`, `warnings`, `stage` are what
    the file says of the run, and `job` its job. `stages` has the results of all stages of a training run that
    `run` made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        about, analyses = _kpflow.results(str(path))
        said = json.loads(about)
        self.job: str = said["job"]
        self.model: str = said["model"]
        self.parameters: int = said["parameters"]
        self.shape: tuple[int, int, int] = tuple(said["shape"])
        self.seed: int = said["seed"]
        self.precision: str = said["precision"]
        self.complete: bool = said["complete"]
        self.stage: str | None = said["stage"]
        self.warnings: list[str] = said["warnings"]
        self.variables: dict[str, tuple[int, int, int, int]] = {name: tuple(at) for name, at in said["variables"]}
        self.attributes: dict[str, Any] = said
        self.stages: tuple[Results, ...] = (self,)
        self._analyses = {}
        for text, arrays in analyses:
            fields = json.loads(text)
            later = {name: partial(_tensor, str(self.path), fields["name"], name) for name, _ in fields["tensors"]}
            found = {name: array(shape, data, "f8") for name, shape, data in arrays}
            fields |= {"shape": self.shape, "variables": list(self.variables.items())}
            self._analyses[fields["name"]] = _quantities.result(fields, found, later)

    def __getitem__(self, name: str) -> Result:
        if name not in self._analyses:
            raise KeyError(f"{self.path} has no analysis {name}; it has {', '.join(self._analyses) or 'none'}")
        return self._analyses[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._analyses)

    def __len__(self) -> int:
        return len(self._analyses)

    def __repr__(self) -> str:
        lines = [f"{self.path.name}: {self.model} with {self.parameters} parameters, state {list(self.shape)}"]
        return "\n".join([*lines, *(f"  {name}: {found!r}" for name, found in self.items())])

    def _repr_html_(self) -> str:
        """Its numbers and the report's figures, for a notebook."""
        return _kpflow.results_html(str(self.path))

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a row for each analysis; of lists the first number is its value."""
        import pandas

        rows = []
        for name, found in self.items():
            leading = next((found[n] for n in ("value", "eigenvalues", "singular_values") if n in found), None)
            value = (
                leading
                if isinstance(leading, float) or leading is None
                else float(leading[0])
                if len(leading)
                else None
            )
            low, high = found["interval"] if "interval" in found else (None, None)
            error = found["standard_error"] if "standard_error" in found else None
            rows.append({
                "analysis": name, "operator": found.operator, "quantity": found.quantity, "method": found.method,
                "value": value, "standard_error": error, "interval_low": low, "interval_high": high,
                "converged": found.converged, "matvecs": found.matvecs, "seconds": found.seconds,
                "status": found.status,
            })  # fmt: skip
        return pandas.DataFrame(rows)

    def to_xarray(self) -> dict[str, Any]:
        """An xarray Dataset of each analysis, by name; of a training run with the coordinate `stage`, a number."""
        number = self.attributes["stage_number"]
        stage = {} if number is None else {"stage": number}
        return {name: found.to_xarray().assign_coords(stage) for name, found in self.items()}

    def report(self, page: str | os.PathLike[str] = "report.html") -> Path:
        """Write a page of figures, of all stages of a training run, and return its path."""
        _program("report", *(str(stage.path) for stage in self.stages), "--output", os.fspath(page))
        return Path(page)


def open(path: str | os.PathLike[str]) -> Results:
    """Open a result file that `kpflow run` or `kpflow.run` has written.

    Raises ValueError where it is none.
    """
    return Results(path)


def run(
    job: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    redo: bool = False,
    threads: int | None = None,
) -> Results:
    """Run a job file, in a process of its own, and open what it wrote; of a training run the last stage, with
    all `stages`.

    `resume` goes on where an earlier run ended; `redo` makes again what is of other weights, inputs or keys.
    Ctrl-C ends it, and what had finished is kept.

    Raises ValueError where the job or a file is wrong, RuntimeError where the run fails.
    """
    words = ["run", os.fspath(job), "--log", "json", *(["--every", "1"] if seen() else ["--quiet"])]
    words += ["--output", os.fspath(output)] if output is not None else []
    words += ["--resume"] if resume else []
    words += ["--redo"] if redo else []
    words += ["--threads", str(threads)] if threads is not None else []
    _program(*words)
    stages = tuple(Results(path) for path in _outputs(Path(job), None if output is None else Path(output)))
    for results in stages:
        results.stages = stages
    return stages[-1]


def _tensor(path: str, analysis: str, name: str) -> Array:
    _, shape, data = _kpflow.results_array(path, analysis, name)
    found: Array = array(shape, data, "f8")
    return found


def _outputs(job: Path, output: Path | None) -> list[Path]:
    """The result files of a job that was run."""
    import tomllib

    said = tomllib.loads(job.read_text())
    one = output if output is not None else job.parent / said.get("output", {}).get("file", "results.h5")
    if one.exists() and Results(one).stage is None:
        return [one]
    stages = [Results(path) for path in one.parent.glob(f"{one.stem}.*{one.suffix}")]
    ordered = sorted((r.attributes["stage_index"], r.path) for r in stages if r.stage is not None)
    return [path for _, path in ordered]


def _program(*words: str) -> None:
    """Run the program; what it says is raised and warned of, and drawn."""
    command = [sys.executable, "-m", "kpflow", *words]
    # In a session of its own: Ctrl-C is for this process, which tells it in a way that it keeps what it has.
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said, bars = [], Bars()
    try:
        for line in child.stderr or ():
            event = _event(line)
            if event["event"] == "progress":
                value, error = event["value"], event["standard_error"]
                bars.tell(event, "" if value is None else told(value, 0.0 if error is None else error))
            said.append(event)
        child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(_END)
        except subprocess.TimeoutExpired:
            pass
        raise
    finally:
        bars.close()
    error = None
    for event in said:
        if event["event"] == "warning":
            warnings.warn(event["message"], stacklevel=3)
        elif event["event"] == "error":
            error = event["message"] if event["file"] is None else f"{event['file']}: {event['message']}"
    if child.returncode == 2:
        raise ValueError(error)
    if child.returncode != 0:
        raise RuntimeError(error or f"the program ended with status {child.returncode}")


def _event(line: str) -> dict[str, Any]:
    """A line that the program says; what is no event of its own is a warning, or its last word."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        line = line.rstrip()
        if line.startswith("error: "):
            return {"event": "error", "file": None, "message": line.removeprefix("error: ")}
        return {"event": "warning", "message": line.removeprefix("warning: ")}
    return event
