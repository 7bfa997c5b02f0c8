"""The two ways to publish rows that the relay's rows are about: ours, and that of the textbooks."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import anyio

KEYS = 100
POLL = 0.01  # seconds; more often than most would dare

Publish = Callable[[int], Awaitable[object]]


@contextmanager
def database() -> Iterator[tuple[Path, sqlite3.Connection]]:
    # On the disk of the working folder: /tmp may be memory, where an fsync is nothing.
    with TemporaryDirectory(prefix=".penstock-bench-", dir=Path.cwd()) as name:
        path = Path(name) / "orders.db"
        connection = connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        yield path, connection
        connection.close()


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


async def until(is_so: Callable[[], bool]) -> None:
    while True:
        if is_so():
            return
        await anyio.sleep(0.001)


class Side(Protocol):
    def add(self, numbers: range) -> None:
        """Commit one event for each."""

    def left(self) -> int:
        """How many are not marked as published."""

    def into_function(self, publish: Publish) -> Any:
        """An async context: while it is open, events are published."""

    def into_queue(self, queue: Any) -> Any:
        """The same, into a message queue."""


class Ours:
    """An `Outbox` with a `Relay`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        from penstock import Outbox

        self.url = f"sqlite:///{path}"
        self.connection = connection
        self.outbox: Outbox[int] = Outbox("bench")
        self.outbox.create_tables(connection)

    def add(self, numbers: range) -> None:
        from penstock.outbox import NewEvent

        events = [NewEvent("placed", number, f"k{number % KEYS}") for number in numbers]
        self.connection.execute("BEGIN IMMEDIATE")
        self.outbox.add_many(self.connection, events)
        self.connection.execute("COMMIT")

    def left(self) -> int:
        query = "SELECT count(*) FROM penstock_outbox_event"
        return int(self.connection.execute(query).fetchone()[0])

    def into_function(self, publish: Publish) -> Any:
        async def to(event: Any) -> None:
            await publish(event.data)

        return self.into_queue(to)

    @asynccontextmanager
    async def into_queue(self, queue: Any) -> AsyncIterator[None]:
        from penstock import Relay

        async with Relay(self.outbox, self.url, queue) as relay:
            await until(lambda: relay.is_active)
            yield


class Poller:
    """SELECT … LIMIT 100; publish; UPDATE each; one commit for the batch."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        connection.execute(
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, key TEXT, "
            "payload TEXT, published INTEGER NOT NULL DEFAULT 0)"
        )
        connection.execute("CREATE INDEX unpublished ON outbox (id) WHERE published = 0")

    def add(self, numbers: range) -> None:
        rows = [(f"k{number % KEYS}", str(number)) for number in numbers]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO outbox (topic, key, payload) VALUES ('placed', ?, ?)", rows
        )
        self.connection.execute("COMMIT")

    def left(self) -> int:
        query = "SELECT count(*) FROM outbox WHERE published = 0"
        return int(self.connection.execute(query).fetchone()[0])

    @asynccontextmanager
    async def into_function(self, publish: Publish) -> AsyncIterator[None]:
        connection = connect(self.path)
        async with anyio.create_task_group() as group:
            group.start_soon(self._poll, connection, publish)
            yield
            group.cancel_scope.cancel()
        connection.close()

    def into_queue(self, queue: Any) -> Any:
        async def publish(number: int) -> None:
            await queue.enqueue(number, key=f"k{number % KEYS}", dedupe=str(number))

        return self.into_function(publish)

    @staticmethod
    async def _poll(connection: sqlite3.Connection, publish: Publish) -> None:
        query = "SELECT id, payload FROM outbox WHERE published = 0 ORDER BY id LIMIT 100"
        mark = "UPDATE outbox SET published = 1 WHERE id = ?"
        while True:
            rows = connection.execute(query).fetchall()
            for _, payload in rows:
                await publish(int(payload))
            if rows:
                connection.execute("BEGIN IMMEDIATE")
                for number, _ in rows:
                    connection.execute(mark, (number,))
                connection.execute("COMMIT")
            await anyio.sleep(0 if rows else POLL)
