"""What the tests of the outbox share: a file with an outbox in it, and waiting without sleeping."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from penstock import Outbox, Relay
from penstock.outbox import NewEvent, RelayStatistics


class Book:
    """A database of the user's own, with an outbox beside its rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.outbox: Outbox[Any] = Outbox("orders")
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, value)")
        self.outbox.create_tables(self.connection)

    def add(self, *payloads: Any, key: str | None = None, topic: str = "placed") -> list[str]:
        """All in one transaction, with rows of their own."""
        self.connection.execute("BEGIN IMMEDIATE")
        for payload in payloads:
            self.connection.execute("INSERT INTO orders (value) VALUES (?)", (str(payload),))
        events = [NewEvent(topic, payload, key) for payload in payloads]
        ids = self.outbox.add_many(self.connection, events)
        self.connection.execute("COMMIT")
        return ids

    def backlog(self) -> int:
        query = "SELECT count(*) FROM penstock_outbox_event"
        return int(self.connection.execute(query).fetchone()[0])

    def relay(self, to: Any, **options: Any) -> Relay[Any]:
        return Relay(self.outbox, self.url, to, **options)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "orders.db")
    yield book
    book.connection.close()


class Ledger:
    """A target that writes down what it gets."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def __call__(self, event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.events.append(event)

    @property
    def data(self) -> list[Any]:
        return [event.data for event in self.events]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def until() -> Callable[..., Awaitable[RelayStatistics]]:
    """Asks for the statistics, which takes a round trip each, until they are as wanted."""

    async def until(relay: Relay[Any], **wanted: object) -> RelayStatistics:
        while True:
            found = await relay.statistics()
            if all(getattr(found, name) == value for name, value in wanted.items()):
                return found

    return until
