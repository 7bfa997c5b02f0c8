"""What can be a part of a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeAlias, runtime_checkable

import anyio

from penstock.errors import Misuse

__all__ = ("AnyPart", "Part", "lifetime", "name_of")


@runtime_checkable
class Part(Protocol):
    """A part that is told each of its steps. An async context manager serves as well.

    A part of either kind may have, besides:

    - `health() -> bool`: whether it is well; quick, called on the loop's thread at any time. One
      that raises is not well, and why.
    - `async watch()`: run beside it from its start on. Raises when the part has failed; returns
      when there is nothing to watch any more; is cancelled when the part is to end.
    - `name`: for messages; otherwise the class's.
    """

    async def start(self) -> None:
        """Begin. What raises here keeps the service from starting."""

    async def drain(self) -> None:
        """Take nothing new, finish what is under way; cancelled when the time is up."""

    async def stop(self) -> None:
        """End, now. Called after `drain`, or instead of the rest of it; shielded."""


AnyPart: TypeAlias = AbstractAsyncContextManager[object] | Part


def lifetime(part: AnyPart) -> AbstractAsyncContextManager[object]:
    """The part as an async context manager; leaving it drains it, cancelled it stops at once."""
    if hasattr(type(part), "__aenter__") and hasattr(type(part), "__aexit__"):
        return part  # type: ignore[return-value]
    if isinstance(part, Part):
        return _steps(part)
    raise Misuse(
        f"{part!r} cannot be a part of a service",
        hint="a part is an async context manager, or has start(), drain() and stop()",
    )


@asynccontextmanager
async def _steps(part: Part) -> AsyncIterator[None]:
    await part.start()
    try:
        yield
        await part.drain()
    finally:
        with anyio.CancelScope(shield=True):
            await part.stop()


def name_of(part: AnyPart) -> str:
    """What messages call it."""
    name = getattr(part, "name", None)
    return name if isinstance(name, str) and name else type(part).__name__
