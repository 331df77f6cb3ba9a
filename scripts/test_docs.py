"""What scripts/test-docs.sh says: the commands of README.md and of the book are run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDS = {"torch": ("torch", "h5py", "safetensors"), "onnx": ("torch", "h5py", "safetensors", "onnxscript", "onnxruntime")}
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (not run|needs|file|first): ((?:(?!-->).)*) -->\s*\Z", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
LIMIT = 300


@dataclass
class Block:
    language: str
    text: str
    mark: str
    value: str

    def commands(self) -> list[str]:
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(text: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(text):
        mark = MARK.search(text[: match.start()])
        found.append(Block(match[1], match[2], *(mark.groups() if mark else ("", ""))))
    return found


def links(book: Path) -> None:
    """Every chapter stands in the book's list; every link leads to a file, and none out of the book, where mdBook would lose it."""
    chapters = set(book.glob("*.md")) | set(book.glob("*/*.md"))
    listed = {book / target for target in LINK.findall((book / "SUMMARY.md").read_text())}
    if lost := chapters - listed - {book / "SUMMARY.md"}:
        sys.exit(f"{book / 'SUMMARY.md'}: does not list {', '.join(sorted(str(f.relative_to(book)) for f in lost))}")
    for file in chapters | {ROOT / "README.md"}:
        for target in LINK.findall(file.read_text()):
            path = Path(os.path.normpath(file.parent / target))
            if not path.exists() or (book in file.parents and book not in path.parents):
                sys.exit(f"{file}: its link to {target} leads to no file, or out of the book")


def scratch(directory: Path, program: Path) -> dict[str, str]:
    """What a reader has at hand after the build."""
    for name in ("scripts", "tests", "docs", "kpflow-hpc", "kpflow-core"):
        (directory / name).symlink_to(ROOT / name)
    bin = directory / "target/release"
    bin.mkdir(parents=True)
    (bin / "kpflow").symlink_to(program)
    # mpirun.sh looks for the real one, which then looks for kpflow.
    wrappers = {"python3": f'exec "{sys.executable}"', "mpirun": f'PATH="{os.environ["PATH"]}:{bin}" exec "{ROOT}/scripts/mpirun.sh"'}
    for name, command in wrappers.items():
        (bin / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (bin / name).chmod(0o755)
    return os.environ | {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}


def missing(need: str) -> bool:
    return any(importlib.util.find_spec(module) is None for module in NEEDS.get(need, (need,)))


def chapter(file: Path, program: Path) -> tuple[int, list[str]]:
    """Runs a chapter: how many commands were run, and what was left out and why."""
    ran, left = 0, []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = scratch(directory, program)
        for block in blocks(file.read_text()):
            if block.mark == "file":
                (directory / block.value).write_text(block.text)
                continue
            if block.language != "console":
                continue
            if not block.commands():
                sys.exit(f"{file}: a console block has no line that begins with '$ '")
            first = [block.value] if block.mark == "first" else []
            for command in first + block.commands():
                if block.mark == "not run":
                    left.append(f"{command}: {block.value}")
                elif block.mark == "needs" and missing(block.value):
                    left.append(f"{command}: needs {block.value}")
                else:
                    started = time.monotonic()
                    bash = ["bash", "-euo", "pipefail", "-c", command]
                    try:
                        done = subprocess.run(
                            bash, cwd=directory, env=environment, capture_output=True, text=True, timeout=LIMIT
                        )
                    except subprocess.TimeoutExpired:
                        sys.exit(f"{file}: $ {command}\ndid not end within {LIMIT} s")
                    if done.returncode:
                        sys.exit(f"{file}: $ {command}\n{done.stdout}{done.stderr}ended with {done.returncode}")
                    ran += 1
                    print(f"  {time.monotonic() - started:5.1f} s  {command}", flush=True)
    return ran, left


def main() -> None:
    program = Path(os.environ.get("KPFLOW") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/kpflow")
    program = program.resolve()
    given = [Path(a).resolve() for a in sys.argv[1:]]
    files = given or [ROOT / "README.md", *sorted((ROOT / "docs/src").glob("*.md"))]
    links(ROOT / "docs/src")
    total, all_left = 0, 0
    for file in files:
        print(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file, flush=True)
        ran, left = chapter(file, program)
        total, all_left = total + ran, all_left + len(left)
        for line in left:
            print(f"  not run: {line}")
    print(f"{total} commands run, {all_left} not run")


if __name__ == "__main__":
    main()
