"""A store of the tests' own on a file, whose writes can be told what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock._durable.group_commit import GroupCommit
from penstock._durable.writes import Kind, Write
from penstock.engines.sqlite.session import SqliteSession


def _script(session: Any, _now: float, scripts: Any) -> list[Any]:
    """Runs functions of a connection."""
    return [script(session.connection) for script in scripts]


SCRIPT: Kind[Any, Any] = Kind("script", _script)
BESIDE: Kind[Any, Any] = Kind("script of another kind", _script, rank=1)


def insert(value: Any) -> Callable[[Any], int]:
    return lambda connection: connection.execute(
        "INSERT INTO items VALUES (?) RETURNING rowid", (value,)
    ).fetchone()[0]


class Store:
    """One writer on one file, with a table `items`."""

    def __init__(self, path: Path | None, **options: Any) -> None:
        limits = {
            name: options.pop(name) for name in ("max_writes", "max_bytes", "max_pending")
            if name in options
        }  # fmt: skip
        self.path = path
        self.session = SqliteSession("sqlite:///store.db", path, **options)
        self.writer = GroupCommit("sqlite:///store.db", self.session, **limits)
        self.flushes: list[list[Write[Any]]] = []
        self._release = threading.Event()
        flush = self.session.flush

        def noting(writes: list[Write[Any]]) -> None:
            self.flushes.append(list(writes))
            flush(writes)

        self.session.flush = noting  # type: ignore[method-assign]

    def start(self) -> None:
        self.writer.start()
        self.writer.call(
            Write(
                SCRIPT,
                lambda connection: connection.execute(
                    "CREATE TABLE IF NOT EXISTS items (value UNIQUE NOT NULL)"
                ),
            )
        )
        self.flushes.clear()

    def block(self) -> Callable[[], None]:
        """Keeps the writer in a flush until the returned function is called."""
        begun, go = threading.Event(), threading.Event()

        def wait(_connection: Any) -> None:
            begun.set()
            assert go.wait(30)

        thread = threading.Thread(target=self.writer.call, args=(Write(SCRIPT, wait),))
        thread.start()
        assert begun.wait(30)
        self._blockers.append((thread, go))
        return go.set

    def values(self) -> list[Any]:
        return self.writer.call(
            Write(
                SCRIPT,
                lambda connection: [
                    value
                    for (value,) in connection.execute("SELECT value FROM items ORDER BY rowid")
                ],
            )
        )

    _blockers: list[tuple[threading.Thread, threading.Event]]

    def stop(self) -> None:
        for thread, go in self._blockers:
            go.set()
            thread.join(30)
        self.writer.stop()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens a store; `connect=` and limits as its parts take them."""
    stores: list[Store] = []

    def open_store(**options: Any) -> Store:
        store = Store(tmp_path / "store.db", **options)
        store._blockers = []
        store.start()
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.stop()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store()


@pytest.fixture
def pending() -> Callable[[Store, int], None]:
    """Waits until so many writes wait behind the one that blocks."""
    import time

    def pending(store: Store, count: int) -> None:
        while store.writer._queue.qsize() < count:
            time.sleep(0)

    return pending
