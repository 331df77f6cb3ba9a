"""Names that one brings along from other libraries: an error says what they are called here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from . import _kpflow

P = ParamSpec("P")
R = TypeVar("R")


def would_be_right(word: str, words: Iterable[str]) -> str:
    """What would be right in the place of a word that is none of these."""
    return _kpflow.would_be_right(word, list(words))


def known_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which says of a keyword that it does not have what would be right."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]

    @wraps(function)
    def checked(*args: P.args, **keywords: P.kwargs) -> R:
        for word in keywords:
            if word not in names:
                raise TypeError(f'{function.__name__} has no keyword "{word}"; {would_be_right(word, names)}')
        return function(*args, **keywords)

    return checked
