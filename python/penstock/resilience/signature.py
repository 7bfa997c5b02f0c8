"""A decorated function's own parameters, for the function that is woven around it.

`*args, **kwargs` cost a tuple, a dict and, until Python 3.13, a call that the interpreter cannot
do in place: 40 ns of the 75 that a retry adds. With the parameters named, a call that does not fit
them is refused before any strategy sees it: it is no failure of the other side.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

__all__ = ("ANY", "Signature", "signature_of")

ANY = "*args, **kwargs"
"""Stands where the arguments go while the lines are made."""

_PACKED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters without their defaults, and the same as arguments of a call."""

    names: tuple[str, ...]
    parameters: str
    arguments: str

    def fits(self, lines: Sequence[str]) -> bool:
        """Whether `lines` hand the arguments on once, unseen, and use none of the names."""
        text = "\n".join(lines).replace(f"({ANY})", "()", 1)
        return {"args", "kwargs", *self.names}.isdisjoint(_WORD.findall(text))


def signature_of(fn: Callable[..., Any]) -> Signature | None:
    """That of a plain or async function with named parameters only; None for anything else."""
    if type(fn) is not FunctionType or fn.__code__.co_flags & _PACKED:
        return None
    code = fn.__code__
    positional = code.co_varnames[: code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    parameters: list[str] = list(positional)
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    if named:
        parameters += ["*", *named]
    arguments = [*positional, *(f"{name}={name}" for name in named)]
    return Signature((*positional, *named), ", ".join(parameters), ", ".join(arguments))
