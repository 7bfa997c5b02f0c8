"""Which errors a strategy is about: classes, or a function that decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from penstock.errors import Misuse, Rejected

__all__ = ("Which", "check_which", "takes")

_REFUSALS = (Rejected, Misuse)

Which: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Classes of exceptions, or a function that says whether an exception is meant."""


def check_which(strategy: str, name: str, which: object) -> None:
    """Raises Misuse for what names no exceptions, or names a cancellation."""
    kinds = which if isinstance(which, tuple) else (which,)
    if not kinds:
        raise Misuse(f"{strategy}: {name}=() names no exception")
    for kind in kinds:
        if isinstance(kind, type):
            if issubclass(kind, Exception):
                continue
            if issubclass(kind, BaseException):
                raise Misuse(
                    f"{strategy}: {name} names {kind.__name__}, which is no failure",
                    hint="a cancellation, Ctrl-C or exit passes through at once; name what "
                    "derives from Exception",
                )
        elif not isinstance(which, tuple) and callable(kind):
            continue
        raise Misuse(
            f"{strategy}: {name}={which!r} names no exceptions",
            hint="a class derived from Exception, a tuple of them, or a function that is given "
            "the exception and returns a bool",
        )


def takes(which: Which, error: Exception) -> bool:
    """Whether `which` means `error`. A refusal by a policy, or of a call, is meant only by name.

    Raises what a user's function raises.
    """
    if which is Exception:
        return not isinstance(error, _REFUSALS)
    if isinstance(which, type):
        if not isinstance(error, which):
            return False
        return not isinstance(error, _REFUSALS) or issubclass(which, _REFUSALS)
    if isinstance(which, tuple):
        return any(takes(each, error) for each in which)
    return bool(which(error))
