"""The HTTP clients that are known, and a policy's errors as errors of each of them.

Code that had `except httpx.ConnectError` around its requests goes on working when a policy is put
below them: an open circuit is a failure to connect, no place a full pool, a timeout a timeout.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Any

from penstock.errors import Misuse, PenstockError
from penstock.resilience.errors import (
    AttemptTimeout,
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    LimitExceeded,
    RateLimited,
    TooManyAbandoned,
)

__all__ = ("also", "library_of")

_HTTPX: dict[type[PenstockError], str] = {
    CircuitOpen: "ConnectError",
    BulkheadFull: "PoolTimeout",
    LimitExceeded: "PoolTimeout",
    RateLimited: "PoolTimeout",
    TooManyAbandoned: "PoolTimeout",
    DeadlineExceeded: "TimeoutException",
    AttemptTimeout: "TimeoutException",
}
_AIOHTTP = dict.fromkeys(_HTTPX, "ClientConnectionError") | {
    DeadlineExceeded: "ServerTimeoutError",
    AttemptTimeout: "ServerTimeoutError",
}
_ALSO = {"httpx2": _HTTPX, "httpx": _HTTPX, "aiohttp": _AIOHTTP}


def library_of(transport: object, base: str) -> ModuleType | None:
    """httpx2 or httpx, whichever has the class `base` that `transport` is one of."""
    for name in ("httpx2", "httpx"):
        library = sys.modules.get(name)
        if library is not None and isinstance(transport, getattr(library, base)):
            return library
    return None


def also(error: PenstockError, library: str, request: Any = None) -> None:
    """Makes `error` one of the client's as well, in place: trace, notes and cause stay."""
    kind: Any = type(error)
    if kind in _ALSO[library]:
        error.__class__ = _both(kind, library)
        if request is not None and library != "aiohttp":
            error.request = request  # type: ignore[attr-defined]


@cache
def _both(kind: Any, library: str) -> type[PenstockError]:
    client = importlib.import_module(library)
    fields = {
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "__reduce__": _reduce,
        "_kind": kind,
        "_library": library,
        "_request": None,
    }
    return type(kind.__name__, (kind, getattr(client, _ALSO[library][kind])), fields)


def _reduce(self: Any) -> tuple[object, ...]:
    # The class is not found by its name, so it is told what it is made of.
    return (_again, (self._kind, self._library, self.args), self.__dict__)


def _again(kind: Any, library: str, args: tuple[object, ...]) -> PenstockError:
    try:
        made = _both(kind, library)
    except ImportError:  # unpickled where that client is not installed
        made = kind
    error: PenstockError = made.__new__(made, *args)
    error.args = args
    return error


def check_transport(policy: str, transport: object) -> tuple[ModuleType, bool]:
    """The library and whether it is an async transport. Raises Misuse for anything else."""
    for base, is_async in (("AsyncBaseTransport", True), ("BaseTransport", False)):
        library = library_of(transport, base)
        if library is not None:
            return library, is_async
    raise Misuse(
        f"policy {policy!r}: {transport!r} is no transport of httpx2 or httpx",
        hint="policy.transport(httpx2.AsyncHTTPTransport()); for aiohttp there is "
        "policy.aiohttp_middleware()",
    )
