"""The HTTP clients that are known, and what an error of a policy becomes below each of them."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from penstock.errors import Misuse, PenstockError

__all__ = ("also", "check_transport", "family")


def family(library: str) -> Any:
    """The module with the classes that are the library's as well: "httpx2", "httpx", "aiohttp"."""
    return importlib.import_module(f"{__package__}.{library}_family")


def also(error: PenstockError, library: str, request: Any = None) -> None:
    """Makes `error` one of the client's as well, in place: trace, notes and cause stay."""
    kind = family(library).ALSO.get(type(error))
    if kind is not None:
        error.__class__ = kind
        if request is not None:
            error.request = request  # type: ignore[attr-defined]


def check_transport(policy: str, transport: object) -> tuple[ModuleType, bool]:
    """The library and whether it is an async transport. Raises Misuse for anything else."""
    for name in ("httpx2", "httpx"):
        library = sys.modules.get(name)
        if library is not None:
            if isinstance(transport, library.AsyncBaseTransport):
                return library, True
            if isinstance(transport, library.BaseTransport):
                return library, False
    raise Misuse(
        f"policy {policy!r}: {transport!r} is no transport of httpx2 or httpx",
        hint="policy.transport(httpx2.AsyncHTTPTransport()); for aiohttp there is "
        "policy.aiohttp_middleware()",
    )
