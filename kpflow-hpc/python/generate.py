#!/usr/bin/env python3
"""Writes kpflow/_quantities.py of what kpflow-hpc/src/analysis knows, and the reference, API.md: generate.py [--check].

The methods of an operator, their keys and defaults, their docstrings, and the classes of what they find are those
of the job file; the reference has them too, and the docstrings of all the rest. It asks the package that is installed:
build it first. `--check` writes nothing and fails where a file is another.
"""

import ast
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import kpflow
from kpflow import _kpflow

HERE = Path(__file__).parent

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


def call(q: dict) -> tuple[str, list[str], list[str]]:
    """A method's line, what it hands over, and what its keys are."""
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
        notes.append(f"`{name}`: {about}")
    methods = ", ".join(f'"{m}"' for m in dict.fromkeys(["auto", *q["methods"]]))
    others += [f'method: Literal[{methods}] = "auto"', "seed: int | None = None"]
    said.append('"method": method')
    notes += [
        "`method`: how; of this operator, those that JOB.md names.",
        "`seed`: of the random numbers; the model's.",
    ]
    star = "" if "*" in first else ", *"
    return f"{q['name']}(self{first}{star}, {', '.join(others)}) -> {class_of(q)}", said, notes


def method(q: dict) -> str:
    line, said, notes = call(q)
    of = class_of(q)
    lines = ["    @known_keywords", f"    def {line}:"]
    lines += [
        f'        """{q["formula"].replace(chr(92), chr(92) * 2)}',
        "",
        wrapped(q["about"], "        "),
        "",
        *(wrapped(note, "        ", "            ") for note in notes),
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


def quantities_py(quantities: list[dict]) -> str:
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
    return text


FUNCTIONS = (kpflow.linearize, kpflow.ntk, kpflow.load, kpflow.run, kpflow.open, kpflow.progress)
PAGE = """# The Python package

<!-- Made by kpflow-hpc/python/generate.py of docstrings and of what kpflow-hpc/src/analysis knows: change it there. -->

Every name of `kpflow`. A is an operator of a model, B, T, N its trajectories, steps and numbers of state.

## Functions

{functions}
## Models and operators

{objects}
## Quantities

What can be asked of an operator A. The keys and defaults are those of the job file, of which JOB.md tells more. All
raise ValueError where this operator or model does not have the quantity, or a key is out of its range; RuntimeError
where the work fails. Most have these keys:

{keys}

{quantities}
## Results

{results}"""


def reference(quantities: list[dict]) -> str:
    """API.md."""
    functions = [f"### {f.__name__}\n\n    kpflow.{signature(f)}\n\n{markdown(f.__doc__)}\n" for f in FUNCTIONS]
    # What most quantities have is told once.
    counts = Counter(note for q in quantities for note in call(q)[2])
    shared = [note for note, count in counts.items() if 2 * count > len(quantities)]
    objects = [of_class(c) for c in (kpflow.Model, kpflow.Operator)]
    results = [of_class(c) for c in (kpflow.Result, kpflow.Estimate, kpflow.Results)]
    return PAGE.format(
        functions="\n".join(functions),
        objects="\n".join(objects),
        keys="\n".join(wrapped(note, "- ", "  ") for note in shared),
        quantities="\n".join(of_quantity(q, shared) for q in quantities),
        results="\n".join(results),
    )


def markdown(doc: str) -> str:
    """A docstring; what says of names what they are becomes a list."""
    lines = inspect.cleandoc(doc)
    return re.sub(r"^(`[^`\n]+`(?:, `[^`\n]+`)*: )", r"- \1", lines, flags=re.MULTILINE)


def signature(f: object) -> str:
    """A call, without types and without what is the object's own."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(f))).body
    return f"{node.name}({arguments(node)})"


def arguments(node: ast.FunctionDef) -> str:
    args = node.args
    for a in [*args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]:
        a.annotation = None
    args.args = [a for a in args.args if a.arg != "self"]
    return ast.unparse(args)


def of_class(c: type) -> str:
    """A class: what it says, and of its own methods and properties those that say something."""
    parts = [f"### {c.__name__}", markdown(c.__doc__)]
    for name, member in vars(c).items():
        is_property = isinstance(member, property)
        doc = member.fget.__doc__ if is_property else getattr(member, "__doc__", None)
        if not name.startswith("_") and doc and (is_property or inspect.isfunction(member)):
            said = f"`.{name if is_property else signature(member)}`: {markdown(doc)}"
            parts.append("- " + textwrap.indent(said, "  ")[2:])
    return "\n\n".join(parts) + "\n"


def of_quantity(q: dict, shared: list[str]) -> str:
    line, _, notes = call(q)
    (node,) = ast.parse(f"def {line}: pass").body
    parts = [f"### {q['name']}", f"    A.{q['name']}({arguments(node)})", f"{q['formula']}."]
    parts += [wrapped(f"{q['about']} For {', '.join(q['operators'])}.", "")]
    parts += ["\n".join(wrapped(note, "- ", "  ") for note in notes if note not in shared)]
    if is_estimate(q):
        parts += ["Gives an `Estimate`."]
    else:
        article = "an" if class_of(q)[0] in "AE" else "a"
        found = "\n".join(wrapped(told(o), "- ", "  ") for o in q["outputs"])
        parts += [f"Gives {article} `{class_of(q)}`:", found]
    return "\n\n".join(filter(None, parts)) + "\n"


def main() -> None:
    quantities = json.loads(_kpflow.quantities())["quantities"]
    for name, text in [("kpflow/_quantities.py", quantities_py(quantities)), ("API.md", reference(quantities))]:
        file = HERE / name
        if "--check" not in sys.argv:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            sys.exit(f"{name} is not as the package and kpflow-hpc/src/analysis say; generate.py writes it anew")


if __name__ == "__main__":
    main()
