"""`DriverUnits`: units of work of an asynchronous driver (asyncpg, psycopg, SQLAlchemy)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from penstock.errors import Misuse

from .unit import Recorded, UnitOfWork

__all__ = ("DriverUnits",)

C = TypeVar("C")
R = TypeVar("R")


class DriverUnits(Generic[C]):
    """Units of work of a driver that has transactions as async context managers of its own.

    Events are gathered while the handler runs, and written right before the commit by `write`, in
    the same transaction.

    Args:
        begin: gives an async context manager that begins a transaction, gives its connection,
            commits on leaving, and rolls back for an exception: `engine.begin` of SQLAlchemy, or a
            function with `@asynccontextmanager` around a pool.
        write: an async function of that connection and the events, each with `topic`, `event` and
            `key`: where the outbox of that database is written. Without it a unit has no events.

    Example:
        >>> from contextlib import asynccontextmanager
        >>> @asynccontextmanager
        ... async def begin():
        ...     print("BEGIN")
        ...     yield "connection"
        ...     print("COMMIT")
        >>> DriverUnits(begin)
        DriverUnits(begin)

    """

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[C]],
        write: Callable[[C, Sequence[Recorded]], Awaitable[object]] | None = None,
    ) -> None:
        for what, fn in (("begin", begin), ("write", write)):
            if not callable(fn) and not (what == "write" and fn is None):
                raise Misuse(f"DriverUnits: {what}={fn!r} is no function")
        self._begin = begin
        self._write = write

    async def transact(self, work: Callable[[UnitOfWork[C]], Awaitable[R]]) -> R:
        """Await `work(unit)` in a transaction; see `Units`."""
        opened: Any = self._begin()
        if not hasattr(opened, "__aenter__"):
            raise Misuse(
                f"{self!r}: begin() gave {opened!r}, which is no async context manager",
                hint="decorate it with contextlib.asynccontextmanager",
            )
        async with opened as connection:
            events = None if self._write is None else Gathered()
            unit: UnitOfWork[C] = UnitOfWork(connection, events)
            unit.units = self
            try:
                result = await work(unit)
            finally:
                unit.end()
            if self._write is not None and unit.recorded:
                await self._write(connection, unit.recorded)
            return result
        raise Misuse(
            f"{self!r}: begin() has swallowed what the handler raised",
            hint="let the exception out, so that whoever sent the command knows of it",
        )

    def __repr__(self) -> str:
        return f"DriverUnits({getattr(self._begin, '__name__', self._begin)})"


class Gathered:
    """Events that are written at the end: the unit has them; see `Events`."""

    def write(self, recorded: Recorded, /) -> None:
        """See `Events`."""
