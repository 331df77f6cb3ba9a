"""The built program, and the scripts that are tested."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))


@pytest.fixture(scope="session")
def golden() -> Path:
    return ROOT / "tests/golden"


@pytest.fixture(scope="session")
def scripts() -> Path:
    return ROOT / "scripts"


@pytest.fixture(scope="session")
def attempt() -> Callable[..., subprocess.CompletedProcess]:
    """Runs the program, whatever becomes of it."""
    program = os.environ.get("KPFLOW", str(ROOT / "target/debug/kpflow"))
    return lambda *arguments: subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def kpflow(attempt) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        done = attempt(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
