"""The least that does the same durable work as a saga store: a queue, a thread, a connection.

What it leaves out is what a saga store is for: it looks for no earlier run of the same key, holds
no lease, resumes, retries and compensates nothing. So the distance to it is the price of the saga
layer, and of what a group commit has to be careful about.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

TABLE = """
CREATE TABLE step (saga TEXT, seq INTEGER, result TEXT, PRIMARY KEY (saga, seq)) WITHOUT ROWID
"""
INSERT = "INSERT INTO step VALUES (?, ?, ?)"

Row = tuple[str, int, str]
Committed = asyncio.Future[None]


class BareGroupCommit:
    """Inserts rows; whatever gathers during a commit shares the next one. For one event loop."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Row, Committed] | None] = SimpleQueue()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(TABLE)
        self.connection = connection
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self.connection.close()

    async def insert(self, row: Row) -> None:
        """Returns once the row is committed."""
        committed = self._loop.create_future()
        self._queue.put((row, committed))
        await committed

    def _work(self) -> None:
        execute = self.connection.execute
        while (first := self._queue.get()) is not None:
            batch = [first]
            is_last = False
            try:
                while (another := self._queue.get_nowait()) is not None:
                    batch.append(another)
                is_last = True
            except Empty:
                pass
            execute("BEGIN IMMEDIATE")
            self.connection.executemany(INSERT, [row for row, _ in batch])
            execute("COMMIT")
            self._loop.call_soon_threadsafe(_wake, [committed for _, committed in batch])
            if is_last:
                return


def _wake(sleepers: Sequence[Committed]) -> None:
    for each in sleepers:
        each.set_result(None)
