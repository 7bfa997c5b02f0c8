"""What calling something does: return, await, or yield."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

__all__ = ("CallForm", "form_of", "name_of")

CallForm: TypeAlias = Literal["plain", "async", "generator", "async generator"]


def form_of(fn: Callable[..., Any]) -> CallForm:
    """That of a function, a method or a partial; of any other object, that of its `__call__`."""
    for each in (fn, getattr(type(fn), "__call__", None)):  # noqa: B004 - looked at, not called
        if inspect.iscoroutinefunction(each):
            return "async"
        if inspect.isasyncgenfunction(each):
            return "async generator"
        if inspect.isgeneratorfunction(each):
            return "generator"
    return "plain"


def name_of(fn: object) -> str:
    """What to call it in a message."""
    return getattr(fn, "__qualname__", None) or repr(fn)
