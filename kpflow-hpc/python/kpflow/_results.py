"""What was found: values with their errors, and arrays by the names of their datasets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _kpflow

Array = NDArray[Any]

# What has these axes is of the state's size, which no figure needs.
_LARGE = {"trajectory", "time", "unit"}


@cache
def known() -> dict[str, dict[str, Any]]:
    """What is known of every quantity, by its name."""
    return {q["name"]: q for q in json.loads(_kpflow.quantities())["quantities"]}


def outputs(quantity: str) -> dict[str, dict[str, Any]]:
    """The datasets that a quantity may have; none where another version wrote it."""
    return {o["name"]: o for o in known().get(quantity, {"outputs": []})["outputs"]}


def array(shape: Any, data: bytes, numbers: str) -> Any:
    """Numbers as Python has them: a float, or an array of one's own."""
    found = np.frombuffer(data, numbers).reshape(tuple(shape))
    return found.copy() if found.ndim else float(found)


class Interval(tuple[float, ...]):
    """The ends of a 95 % interval; `estimate.interval(0.95)` is the same."""

    def __call__(self, level: float = 0.95) -> Interval:
        if level != 0.95:
            raise ValueError(f"the interval is one of 95 %, not of {level:g}: other levels were not estimated")
        return self


class Result:
    """What an analysis found; its datasets are attributes, and items too: `result.eigenvalues`,
    `result["eigenvalues"]`.

    `operator`, `quantity`, `method` (the one that was used), `converged`, `matvecs` (operator products), `seconds` and
    `status` ("exact", "tolerance reached", "max_matvecs reached") say how it was found. It can be pickled.
    """

    name: str
    operator: str
    quantity: str
    method: str
    converged: bool
    matvecs: int
    seconds: float
    status: str

    def __init__(
        self,
        fields: Mapping[str, Any],
        arrays: Mapping[str, Any],
        later: Mapping[str, Callable[[], Array]] | None = None,
    ) -> None:
        self.name = fields.get("name", fields["quantity"])
        self.operator, self.quantity, self.method = fields["operator"], fields["quantity"], fields["method"]
        self.converged, self.matvecs = fields["converged"], fields["matvecs"]
        self.seconds, self.status = fields["seconds"], fields["status"]
        # What it was asked with, and of which state: its figures say it.
        unsaid: dict[str, Any] = {"options": {}, "shape": (0, 0, 0), "variables": []}
        self._about = {key: fields.get(key, value) for key, value in unsaid.items()}
        self._tensors = fields.get("tensors", [])
        self._arrays = dict(arrays)
        self._later = dict(later or {})
        if "interval" in self._arrays:
            self._arrays["interval"] = Interval(float(x) for x in self._arrays["interval"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as e:
            raise AttributeError(e.args[0]) from None

    def __getitem__(self, name: str) -> Any:
        if name in self._later:
            self._arrays[name] = self._later.pop(name)()
        if name in self._arrays:
            return self._arrays[name]
        if name == "history" and name in outputs(self.quantity):
            return np.empty((0, 3))  # of what was not estimated
        asked = outputs(self.quantity).get(name, {}).get("asked")
        hint = f"; ask for it with {asked}=True" if asked else f"; it has {', '.join(self.keys())}"
        raise KeyError(f"{self.quantity} has no {name} here{hint}")

    def __contains__(self, name: object) -> bool:
        return name in self._arrays or name in self._later

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names of the datasets."""
        order = list(outputs(self.quantity))
        names = [*self._arrays, *self._later]
        return sorted(names, key=lambda n: order.index(n) if n in order else len(order))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.keys()]

    def __getstate__(self) -> dict[str, Any]:
        for name in list(self._later):
            self[name]
        return self.__dict__

    def __repr__(self) -> str:
        parts = []
        if "value" in self:
            parts.append(told(self["value"], self._arrays.get("standard_error", 0.0)))
        for name in self.keys():
            if name not in ("value", "standard_error", "interval", "history"):
                parts.append(f"{name}: {_short(self._arrays.get(name))}")
        how = "" if self.converged else f" ({self.status})"
        return f"{type(self).__name__}({self.quantity} of {self.operator}: {'; '.join(parts)}){how}"

    def _repr_html_(self) -> str:
        """Its numbers and the report's figures, for a notebook."""
        said = ("name", "operator", "quantity", "method", "converged", "matvecs", "seconds", "status")
        fields = {key: getattr(self, key) for key in said} | self._about
        fields["options"] = json.dumps(fields["options"])
        large = {o["name"] for o in outputs(self.quantity).values() if _LARGE <= set(o["dimensions"])}
        here = {name: np.shape(found) for name, found in self._arrays.items() if name in large}
        fields["tensors"] = list((here | {name: shape for name, shape in self._tensors}).items())
        small = {name: np.asarray(found, "f8") for name, found in self._arrays.items() if name not in large}
        return _kpflow.html(fields, [(name, x.shape, x.tobytes()) for name, x in small.items()])

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a row for each mode, point or variable; of a number alone, one row with its error."""
        import pandas

        dimensions = self._axes()["datasets"]
        first = next((d[0] for n, d in dimensions.items() if len(d) == 1 and d != ["end"]), None)
        if first is not None:
            columns = [n for n in self.keys() if dimensions.get(n) == [first]]
            frame = pandas.DataFrame({n: self[n] for n in columns})
            return frame.set_index(first) if first in columns else frame.rename_axis(first)
        row: dict[str, Any] = {
            "analysis": self.name,
            "operator": self.operator,
            "quantity": self.quantity,
            "method": self.method,
        }
        row |= {n: self[n] for n in self.keys() if isinstance(self[n], float)}
        low, high = self._arrays.get("interval", (math.nan, math.nan))
        row |= {"interval_low": low, "interval_high": high, "converged": self.converged, "matvecs": self.matvecs}
        return pandas.DataFrame([row | {"seconds": self.seconds, "status": self.status}])

    def to_xarray(self) -> Any:
        """An xarray Dataset of all that was found, its axes named and counted as in the result file."""
        import xarray

        variables, named = {}, self._axes()
        for name in self.keys():
            known = outputs(self.quantity).get(name, {"unit": "", "meaning": ""})
            value = np.asarray(self[name])
            axes = named["datasets"].get(name, [f"{name}_{i}" for i in range(value.ndim)])
            variables[name] = (axes, value, {"units": known["unit"], "long_name": known["meaning"]})
        about = ("operator", "quantity", "method", "matvecs", "seconds", "status")
        return xarray.Dataset(
            variables,
            coords={name: tuple(found) for name, found in named["coordinates"].items()},
            attrs={key: getattr(self, key) for key in about} | {"converged": int(self.converged)},
        )

    def _axes(self) -> dict[str, Any]:
        """What the axes of its datasets are called, as in a file, and what they are counted by."""
        shapes = dict(self._tensors) | {name: np.shape(found) for name, found in self._arrays.items()}
        variables = [name for name, _ in self._about["variables"]]
        options = json.dumps(self._about["options"])
        named: dict[str, Any] = json.loads(
            _kpflow.axes(self.quantity, options, self._about["shape"], variables, list(shapes.items()))
        )
        return named


class Estimate(Result):
    """A number with its error: `float(estimate)`, or `.value`, `.standard_error`, the 95 % `.interval`, `.history`.

    `history` is `[steps, 3]`: operator products, value and standard error on the way; exact values have none.
    """

    value: float
    standard_error: float
    interval: Interval
    history: Array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.value, dtype)

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, form: str) -> str:
        return format(self.value, form) if form else repr(self)

    def __repr__(self) -> str:
        return told(self.value, self.standard_error) + ("" if self.converged else f" ({self.status})")


def told(value: float, error: float) -> str:
    """A number and its error, no more digits than the error leaves: 2.22e5 ± 1e3."""
    rounding = error < 1e-12 * abs(value)
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0.0 or value == 0.0 or rounding:
        return f"{value:.6g}" if error == 0.0 else f"{value:.3g} ± {error:.1g}"
    size, last = math.floor(math.log10(abs(value))), math.floor(math.log10(error))
    digits = min(max(size - last, 0), 15)
    if -3 <= size <= 4:
        places = max(-last, 0)
        return f"{value:.{places}f} ± {error:.{places}f}"
    return f"{_scientific(value, digits)} ± {_scientific(error, 0)}"


def _scientific(x: float, places: int) -> str:
    number, exponent = f"{x:.{places}e}".split("e")
    return f"{number}e{int(exponent)}"


def _short(value: Any) -> str:
    """An array in a few words."""
    if value is None or not isinstance(value, np.ndarray):
        return "…" if value is None else f"{value:.6g}"
    if value.ndim == 1:
        shown = ", ".join(f"{x:.4g}" for x in value[:4])
        return f"[{shown}{', …' if len(value) > 4 else ''}]"
    return str(list(value.shape))
