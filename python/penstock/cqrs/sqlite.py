"""`Sqlite`: units of work in one SQLite file, with the standard library's driver."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from penstock._loops import current_hub
from penstock.errors import Closed, Empty, Misuse
from penstock.outbox import Outbox
from penstock.queues import Queue

from .log import EventLog
from .thread import Lane
from .unit import UnitOfWork, current_unit
from .written import Written

__all__ = ("Sqlite",)

R = TypeVar("R")


def _commit(connection: sqlite3.Connection, unit: UnitOfWork[sqlite3.Connection]) -> None:
    connection.commit()
    unit.is_committed = True


class Sqlite:
    """Units of work in one SQLite file: one at a time in a process, as the file has one writer.

    The transaction begins and commits on a thread of its own, so that the loop never waits for the
    disk or for another process's lock. `unit.connection` is the connection itself: an INSERT takes
    microseconds where it is; `await unit.run(fn)` is for what takes longer.

    Args:
        where: the file, or a function that connects to it; give the latter
            `check_same_thread=False` and `isolation_level=None`.
        outbox: where events go that others are told of; its tables lie in the same file.
        log: where events are kept for projections; its tables lie in the same file.
        timeout: seconds to wait for another process's transaction.

    `async with Sqlite(...)` or `close()` ends thread and connection; until then it opens by itself.
    Any number of event loops and threads may use it; they wait in line. Raises Misuse for arguments
    that cannot work; what sqlite3 raises comes through, and has rolled back.

    Cancellation: before the commit it rolls back, during the commit it waits for its end.

    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Callable[[], sqlite3.Connection],
        *,
        outbox: Outbox[Any] | None = None,
        log: EventLog | None = None,
        timeout: float = 30.0,
    ) -> None:
        if not callable(where) and not isinstance(where, (str, os.PathLike)):
            raise Misuse(f"Sqlite({where!r}): no file, and nothing that connects to one")
        if where == ":memory:" or (isinstance(where, str) and where.startswith("sqlite:")):
            raise Misuse(
                f"Sqlite({where!r}): this is no path",
                hint='Sqlite("orders.db"); for memory a function that returns the connection',
            )
        if outbox is not None and not isinstance(outbox, Outbox):
            raise Misuse(f"Sqlite: outbox={outbox!r}", hint='outbox=Outbox("orders")')
        if log is not None and not isinstance(log, EventLog):
            raise Misuse(f"Sqlite: log={log!r}", hint='log=EventLog("orders")')
        if not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
            raise Misuse(f"Sqlite: timeout={timeout!r} is no time", hint="give seconds")
        self._where = where
        self.outbox = outbox
        self.log = log
        self._timeout = float(timeout)
        self._lane = Lane("penstock-cqrs-sqlite")
        self._turn: Queue[None] = Queue(1, fair=True)
        self._turn.put_nowait(None)
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    async def transact(self, work: Callable[[UnitOfWork[sqlite3.Connection]], Awaitable[R]]) -> R:
        """Await `work(unit)` in a transaction; see `Units`. Waits for its turn."""
        open_one = current_unit.get()
        if open_one is not None and open_one.units is self and not open_one.is_over:
            raise Misuse(
                f"{self!r}: a transaction inside of another one would wait for it for ever",
                hint="use the unit of work that the handler was given",
            )
        await self._turn.aget()
        try:
            if self._is_closed:
                raise Closed(f"{self!r} is closed", hint="use it inside of its block")
            return await self._transact(work)
        finally:
            self._turn.put_nowait(None)

    async def _transact(self, work: Callable[[UnitOfWork[sqlite3.Connection]], Awaitable[R]]) -> R:
        unit: UnitOfWork[sqlite3.Connection] | None = None
        try:
            connection = await self._lane.run(self._begin)
            events = None
            if self.outbox is not None or self.log is not None:
                events = Written(connection, self.outbox, self.log)
            unit = UnitOfWork(connection, events, self._lane.run)
            unit.units = self
            result = await work(unit)
            if not connection.in_transaction:
                raise Misuse(
                    f"{self!r}: the handler has ended the transaction itself",
                    hint="leave COMMIT and ROLLBACK to the unit of work; raise to undo it",
                )
            await self._lane.run(partial(_commit, connection, unit))
        except BaseException:
            if unit is not None:
                unit.end()
            await self._roll_back()
            raise
        unit.end()
        return result

    def _begin(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if not callable(self._where):
            return sqlite3.connect(
                self._where,
                timeout=self._timeout,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        connection = self._where()
        seen: list[Exception] = []

        def look() -> None:
            try:
                _ = connection.in_transaction
                connection.execute("SELECT 1").close()
            except Exception as error:  # noqa: BLE001 - told below
                seen.append(error)

        other = threading.Thread(target=look)
        other.start()
        other.join()
        if seen:
            raise Misuse(
                f"{self!r}: {connection!r} cannot be used by several threads: {seen[0]}",
                hint="sqlite3.connect(path, check_same_thread=False, isolation_level=None)",
            ) from seen[0]
        if connection.in_transaction:
            raise Misuse(f"{self!r}: {connection!r} is in a transaction already")
        return connection

    async def _roll_back(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            await self._lane.run(connection.rollback)

    def close(self) -> None:
        """Close the connection and end the thread; blocks for the transaction under way.

        Raises Misuse on an event loop's thread while there is one: it would wait for itself.
        """
        try:
            self._turn.get_nowait()
        except Empty:
            self._refuse_on_a_loop()
            self._turn.get()
        try:
            self._close_connection()
        finally:
            self._turn.put_nowait(None)
        self._lane.close()

    def _refuse_on_a_loop(self) -> None:
        try:
            current_hub()
        except Misuse:
            return
        raise Misuse(
            f"{self!r}: a transaction is under way, and close() would stop the loop that it needs",
            hint="`async with` the units, which waits for it",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After the transaction under way; nothing begins behind this one.
        import anyio

        with anyio.CancelScope(shield=True):
            await self._turn.aget()
            try:
                if not self._is_closed:
                    await self._lane.run(self._close_connection)
            finally:
                self._turn.put_nowait(None)
        self._lane.close()

    def _close_connection(self) -> None:
        with self._lock:
            self._is_closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __repr__(self) -> str:
        where = getattr(self._where, "__name__", None) if callable(self._where) else None
        return f"Sqlite({where or self._where!s})"
