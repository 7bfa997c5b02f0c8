"""Refusals, when an argument is given: each names the stage, the argument and the value."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from penstock.errors import Misuse

__all__ = ("function", "name_of", "not_negative", "path", "positive", "seconds", "shown")


def shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def path(caller: str, value: object) -> Path:
    try:
        return Path(value)  # type: ignore[arg-type]
    except TypeError:
        raise Misuse(
            f"{caller}: path must be a str or a PathLike of str, got {shown(value)}",
            hint="give the file's path, not an open file",
        ) from None


def function(stage: str, fn: Any) -> None:
    if not callable(fn):
        raise Misuse(
            f"{stage}: fn must be callable, got {shown(fn)}",
            hint="give a function of one item, sync or async, without calling it",
        )


def positive(stage: str, name: str, value: object) -> None:
    _whole(stage, name, value, least=1)


def not_negative(stage: str, name: str, value: object) -> None:
    _whole(stage, name, value, least=0)


def _whole(stage: str, name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Misuse(
            f"{stage}: {name} must be a whole number of at least {least}, got {shown(value)}",
            hint=f"give {name}={least} or more",
        )


def seconds(stage: str, name: str, value: object) -> None:
    # `not (value > 0)` refuses NaN too.
    if not isinstance(value, int | float) or isinstance(value, bool) or not (value > 0):
        raise Misuse(
            f"{stage}: {name} must be a number of seconds above 0, got {shown(value)}",
            hint=f"give {name}=0.05 for 50 ms, or leave it out",
        )


def name_of(fn: Any) -> str:
    """Return how a callable is called in stage names: the function inside a partial."""
    while isinstance(fn, partial):
        fn = fn.func
    name: str = getattr(fn, "__name__", None) or type(fn).__name__
    return name
