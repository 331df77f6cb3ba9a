#!/usr/bin/env python3
"""Writes kpflow/_quantities.py of what kpflow-hpc/src/analysis knows: generate.py [--check].

The methods of an operator, their keys and defaults, their docstrings, and the classes of what they find are those
of the job file. It asks the package that is
installed: build it first. `--check` writes nothing and fails where the file is another.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from kpflow import _kpflow

FILE = Path(__file__).parent / "kpflow/_quantities.py"

HEAD = '''"""The quantities of an operator. Made by generate.py of kpflow-hpc/src/analysis: change it there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from numpy.typing import ArrayLike

from ._hints import known_keywords
from ._results import Array, Estimate, Result

if TYPE_CHECKING:
    from ._operators import Operator

Found = TypeVar("Found", bound=Result)
'''

# What a key of the job is called that is a word of Python's, by what it is; and what it takes.
GIVEN = {"weights": ("other", "Operator"), "state": ("signal", "ArrayLike"), "vectors": ("vectors", "ArrayLike")}
MEANS = {
    "weights": "the same operator of other weights on the same inputs",
    "state": "an error signal, [B, T, N] or flat, [n]",
    "vectors": "x, [B, T, N], [m, B, T, N], or flat, [n] or [n, m]",
}
TYPES = {
    "truth": "bool", "whole": "int", "number": "float", "axes": "str | Sequence[str]",
    "window": "tuple[int, int]", "units": "Sequence[int]",
}  # fmt: skip


def wrapped(text: str, indent: str, later: str | None = None) -> str:
    return "\n".join(textwrap.wrap(text, 110, initial_indent=indent, subsequent_indent=later or indent))


def is_estimate(q: dict) -> bool:
    return {o["name"] for o in q["outputs"]} == {"value", "standard_error", "interval", "history"} or (
        {o["name"] for o in q["outputs"]} == {"value", "standard_error", "interval"}
    )


def class_of(q: dict) -> str:
    return "Estimate" if is_estimate(q) else "".join(word.title() for word in q["name"].split("_"))


def shape_of(o: dict) -> str:
    return f"[{', '.join(o['symbols'])}]" if o["symbols"] else "a number"


def told(o: dict) -> str:
    unit = f", in {o['unit']}" if o["unit"] else ""
    asked = f" If {o['asked']}=True." if o["asked"] else ""
    return f"`{o['name']}`: {shape_of(o)}{unit}. {o['meaning']}{asked}"


def type_of(o: dict) -> str:
    return "tuple[float, float]" if o["name"] == "interval" else "float" if not o["symbols"] else "Array"


def result(q: dict) -> str:
    base = "Estimate" if any(o["name"] == "value" for o in q["outputs"]) else "Result"
    inherited = {"value", "standard_error", "interval", "history"} if base == "Estimate" else set()
    lines = [f"class {class_of(q)}({base}):", f'    """{q["title"][0].upper()}{q["title"][1:]}: {q["formula"]}.', ""]
    lines += [wrapped(told(o), "    ", "        ") for o in q["outputs"]] + ['    """', ""]
    own = [f"    {o['name']}: {type_of(o)}" for o in q["outputs"] if o["name"] not in inherited]
    return "\n".join([*lines, *own] + (["    __repr__ = Result.__repr__"] if base == "Estimate" else []))


def method(q: dict) -> str:
    first, others, said, notes = "", [], [], []
    for key in q["keys"]:
        name, of = key["name"], TYPES.get(key["kind"])
        if key["words"]:
            of = f"Literal[{', '.join(map(repr, key['words']))}]"
        about = key["about"]
        if key["kind"] == "file":
            name, of = GIVEN[q["with"]]
            first, about = f", {name}: {of}", f"{MEANS[q['with']]}."
        elif key["required"]:
            first = f", {name}: {of} | None = None, *, {key['single']}: str | None = None"
            said += [f'"{name}": {name}', f'"{key["single"]}": {key["single"]}']
        else:
            default = None if key["method"] else key["default"]
            others.append(f"{name}: {of}{' | None' if default is None else ''} = {default!r}")
            said.append(f'"{name}": {name}')
            about += f' For method="{key["method"]}".' if key["method"] else ""
        notes.append(wrapped(f"`{name}`: {about}", "        ", "            "))
    methods = ", ".join(f'"{m}"' for m in dict.fromkeys(["auto", *q["methods"]]))
    others += [f'method: Literal[{methods}] = "auto"', "seed: int | None = None"]
    said.append('"method": method')
    star = "" if "*" in first else ", *"
    of = class_of(q)
    lines = ["    @known_keywords", f"    def {q['name']}(self{first}{star}, {', '.join(others)}) -> {of}:"]
    lines += [
        f'        """{q["formula"].replace(chr(92), chr(92) * 2)}',
        "",
        wrapped(q["about"], "        "),
        "",
        *notes,
    ]
    lines += [
        "        `method`: how; of this operator, those that JOB.md names. `seed`: of the random numbers; the model's."
    ]
    lines += [wrapped(f"For {', '.join(q['operators'])}.", "        ")]
    lines += ["", f"        Gives {'an' if of[0] in 'AE' else 'a'} {of}."]
    lines += [
        "",
        "        Raises ValueError where this operator or model does not have it, or a key is out of its range;",
    ]
    given = GIVEN[q["with"]][0] if q["with"] else "None"
    lines += ["        RuntimeError where the work fails.", '        """']
    lines += [f'        return self._analyse({of}, "{q["name"]}", {{{", ".join(said)}}}, seed, {given})']
    return "\n".join(lines)


def main() -> None:
    quantities = json.loads(_kpflow.quantities())["quantities"]
    classes = [result(q) for q in quantities if not is_estimate(q)]
    table = ", ".join(f'"{q["name"]}": {class_of(q)}' for q in quantities)
    made = [
        HEAD, *(f"\n{c}\n" for c in classes),
        f"\n_CLASSES: dict[str, type[Result]] = {{{table}}}\n",
        '''
def result(
    fields: Mapping[str, Any], arrays: Mapping[str, Any], later: Mapping[str, Callable[[], Array]] | None = None
) -> Result:
    """What an analysis found, as an object of its quantity's class."""
    return _CLASSES.get(fields["quantity"], Result)(fields, arrays, later)


class Quantities:
    """What can be asked of an operator A: a method for each quantity of the job file."""

    @abstractmethod
    def _analyse(
        self,
        of: type[Found],
        quantity: str,
        said: Mapping[str, Any],
        seed: int | None,
        given: Operator | ArrayLike | None,
    ) -> Found: ...

''',
        "\n\n".join(method(q) for q in quantities), "\n",
    ]  # fmt: skip
    text = "\n".join(made)
    try:
        ruff = [sys.executable, "-m", "ruff"]
        text = subprocess.run(
            [*ruff, "format", "--line-length", "120", "-"], input=text, capture_output=True, text=True, check=True
        ).stdout
    except subprocess.CalledProcessError as e:
        sys.exit(f"ruff formats it, and is not there or fails: {e.stderr}")
    if "--check" in sys.argv and FILE.read_text() != text:
        sys.exit(f"{FILE.name} is not as kpflow-hpc/src/analysis says; generate.py writes it anew")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
