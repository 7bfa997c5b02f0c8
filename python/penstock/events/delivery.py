"""What middleware is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ("Delivery", "Middleware")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one handler."""

    event: str | type
    """The name, or the class of a typed event."""
    data: Any
    """What the handler is given."""
    handler: Callable[..., Any]


Middleware: TypeAlias = Callable[[Delivery, Callable[[], Awaitable[Any]]], Awaitable[Any]]
