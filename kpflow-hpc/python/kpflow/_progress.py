"""Bars of progress, by tqdm, where somebody sees them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

# Moves a bar: done, total, unit, seconds, words.
Tell = Callable[[int, int, str, float, str], None]

# Seconds of work before a bar.
_AFTER = 1.0

_on = True


def progress(on: bool) -> None:
    """Switch bars of progress on or off, for all that follows. They are on unless you say so.

    Work of more than a second has one, in a terminal and in a notebook, if tqdm is installed; elsewhere nothing is
    printed.
    """
    global _on
    _on = bool(on)


class Bar:
    """The bar of one piece of work, which `tell` moves; it appears once the work takes long, and goes with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._drawn: Any = None

    def __enter__(self) -> Tell | None:
        """What moves it; None where nobody would see it."""
        return self.tell if seen() else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, done: int, total: int, unit: str, seconds: float, words: str) -> None:
        """Say how far it is; a total of 0 is not known."""
        if self._drawn is None:
            make = _maker() if seconds >= _AFTER else None
            if make is None:
                return
            # With a delay it does not draw itself before it knows how far it is.
            self._drawn = make(desc=self._name, unit=f" {unit}", leave=False, dynamic_ncols=True, delay=1e-9)
            # The rate is that of all of it.
            self._drawn.start_t -= seconds
        bar = self._drawn
        bar.n, bar.total, bar.unit, bar.unit_scale = done, total or None, f" {unit}", unit == "bytes"
        bar.set_postfix_str(words, refresh=False)
        bar.refresh()

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.close()


class Bars:
    """The bars of what a program does, one after the other, by its events."""

    def __init__(self) -> None:
        self._name, self._bar = "", Bar("")

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        if event["name"] != self._name:
            self.close()
            self._name, self._bar = event["name"], Bar(event["name"])
        self._bar.tell(event["done"], event["total"], event["unit"], event["seconds"], words)

    def close(self) -> None:
        self._bar.close()


def seen() -> bool:
    """Whether somebody sees a bar."""
    return _on and (in_notebook() or bool(getattr(sys.stderr, "isatty", lambda: False)()))


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter; IPython is not imported for it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


def _maker() -> Any:
    """What makes a bar here; None without tqdm."""
    try:
        with warnings.catch_warnings():
            # Of a notebook without widgets: its bars are text.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm
