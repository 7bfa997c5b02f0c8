"""What calling something does: return, await, or yield."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

__all__ = ("CallForm", "form_of", "name_of")

CallForm: TypeAlias = Literal["plain", "async", "generator", "async generator"]


def form_of(fn: Callable[..., Any]) -> CallForm:
    """That of a function, a method or a partial; of any other object, that of its `__call__`."""
    for each in (fn, getattr(type(fn), "__call__", None)):  # noqa: B004 - looked at, not called
        if inspect.iscoroutinefunction(each) or _is_marked(each):
            return "async"
        if inspect.isasyncgenfunction(each):
            return "async generator"
        if inspect.isgeneratorfunction(each):
            return "generator"
    return "plain"


def _is_marked(fn: object) -> bool:
    """Whether a plain function says that it returns a coroutine, in asyncio's way before 3.12."""
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and getattr(fn, "_is_coroutine", None) is mark


def name_of(fn: object) -> str:
    """What to call it in a message."""
    return getattr(fn, "__qualname__", None) or repr(fn)
