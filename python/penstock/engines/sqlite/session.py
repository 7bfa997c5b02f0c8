"""One connection, and how a flush of writes becomes one transaction on it.

Isolation: the writes of one kind run in one call inside a savepoint. If that fails, it is undone
and each runs by itself, so that an error reaches the write it belongs to and no other.

Some failures end the whole transaction (a trigger's ROLLBACK, a full disk, no memory); the next
statement would then commit by itself. So after every error `in_transaction` is looked at; if it is
over, nothing more runs in it and every write of the flush is run again in a transaction of its own.

A COMMIT that fails and leaves no transaction may have happened. The connection is given up, and a
new one reads the number of the last flush, which every flush writes along.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from penstock._durable.leases import incarnation
from penstock._durable.writes import Kind, Write
from penstock.errors import EngineError

from .failures import OutcomeUnknown, explained
from .schema import migrate, version_of

Connect = Callable[[str, float], sqlite3.Connection]

_NOW = "SELECT (julianday('now') - 2440587.5) * 86400.0"
_FLUSHES = (
    (
        """
        CREATE TABLE penstock_flush (
            writer TEXT PRIMARY KEY, number INTEGER NOT NULL, at REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)
_MARK = (
    "INSERT INTO penstock_flush VALUES (?, ?, ?)"
    " ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)
_WEEK = 7 * 86400.0


def connect(path: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, cached_statements=256)


class SqliteSession:
    """What the writer's thread does with a database file (or with memory, if `path` is None)."""

    def __init__(
        self,
        name: str,
        path: Path | None,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] | None = None,
        connect: Connect = connect,
    ) -> None:
        self.name = name
        self.is_shared = path is not None
        self._path = path
        self._timeout = timeout
        self._clock = clock
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._writer = incarnation()
        self._number = 0
        self._data_version = 0
        self._schema = 0

    # -- as GroupCommit calls it ---------------------------------------------------------------

    def open(self) -> None:
        try:
            self._open()
            if version_of(self.connection, "flush") != len(_FLUSHES):
                # Under the write lock, and read again there: another process may be faster.
                self.connection.execute("BEGIN IMMEDIATE")
                self.migrate("flush", _FLUSHES)
                self.connection.execute("COMMIT")
        except BaseException as error:
            self.close()
            raise self._explained(error) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # It checkpoints; if it cannot, what is committed is in the WAL, where the next one
            # finds it.
            with suppress(sqlite3.Error):
                connection.execute("DELETE FROM penstock_flush WHERE writer = ?", (self._writer,))
            with suppress(sqlite3.Error):
                connection.close()

    def has_changed(self) -> bool:
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        changed: bool = version != self._data_version
        self._data_version = version
        return changed

    def flush(self, writes: list[Write[Any]]) -> None:
        try:
            if self._connection is None:
                self._open()
            if self._together(writes):
                return
        except Exception as error:
            for write in writes:
                write.error = self._explained(error)
            return
        for write in writes:
            write.error = None
            try:
                if not self._together([write]) and write.error is None:
                    write.error = EngineError(
                        f"store {self.name}: {write.kind.name} ended its transaction",
                        hint="look for a trigger on our tables that rolls back",
                    )
            except Exception as error:
                write.error = self._explained(error)

    # -- for the stores of rooms ----------------------------------------------------------------

    @property
    def connection(self) -> sqlite3.Connection:
        assert self._connection is not None, "opened, and not given up"
        return self._connection

    def now(self) -> float:
        """The store's clock: the database's own, unless a test has handed one in."""
        if self._clock is not None:
            return self._clock()
        return float(self.connection.execute(_NOW).fetchone()[0])

    def migrate(self, room: str, migrations: Sequence[Sequence[str]]) -> None:
        migrate(self.connection, self.name, room, migrations)

    # -- one transaction ---------------------------------------------------------------------

    def _open(self) -> None:
        name = ":memory:" if self._path is None else str(self._path)
        connection = self._connect(name, self._timeout)
        try:
            if self._path is not None:
                self._use_wal(connection)
            connection.execute("PRAGMA foreign_keys = OFF")
            self._data_version = connection.execute("PRAGMA data_version").fetchone()[0]
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # Two processes that open a new file at once get "locked" here without being made to wait.
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise EngineError(
                f"store {self.name}: its file system allows no write-ahead log (it is {mode!r})",
                hint="put the file on a local disk",
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")

    def _together(self, writes: list[Write[Any]]) -> bool:
        """Run all in one transaction; False if it ended before its time and nothing is done."""
        connection = self.connection
        only_reads = all(write.kind.reads for write in writes)
        # If it fails, so would it for each by itself.
        connection.execute("BEGIN" if only_reads else "BEGIN IMMEDIATE")
        changes = connection.total_changes
        try:
            now = self.now()
            ordered = sorted(writes, key=_rank) if len(writes) > 1 else writes
            for kind, group in groupby(ordered, key=_kind):
                if not self._isolated(kind, list(group), now):
                    return False
            if not only_reads and self._has_written(changes):
                self._mark(now)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                self._undo()  # It did not happen: perhaps a part of it fits.
            elif not _is_full(error) and self._did_commit(error):
                return True
            if len(writes) == 1:
                raise
            return False
        except BaseException:
            self._undo()
            raise
        return True

    def _has_written(self, changes: int) -> bool:
        """Whether there is anything to commit.

        A claim that found nothing must not wake others, whose own would wake us again.
        """
        connection = self.connection
        if connection.total_changes != changes:
            return True
        # Tables that are made or dropped are no rows.
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        known, self._schema = self._schema, schema
        return bool(schema != known)

    def _mark(self, now: float) -> None:
        """Number the flush, in its own transaction."""
        connection = self.connection
        if not self._number:
            # What others left behind who died, long ago.
            connection.execute("DELETE FROM penstock_flush WHERE at < ?", (now - _WEEK,))
        self._number += 1
        connection.execute(_MARK, (self._writer, self._number, now))

    def _isolated(self, kind: Kind[Any, Any], writes: list[Write[Any]], now: float) -> bool:
        connection = self.connection
        connection.execute("SAVEPOINT one")
        try:
            results = kind.run(self, now, [write.argument for write in writes])
        except Exception as error:
            if not connection.in_transaction:
                return self._blame(writes, error)
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            if len(writes) == 1:
                writes[0].error = self._explained(error)
                return True
            return all(self._isolated(kind, [write], now) for write in writes)
        connection.execute("RELEASE one")
        for write, result in zip(writes, results, strict=True):
            write.result = result
            write.error = None
        return True

    def _blame(self, writes: list[Write[Any]], error: Exception) -> bool:
        """The transaction is gone. With one write alone in it, the reason is its own."""
        if len(writes) == 1:
            writes[0].error = self._explained(error)
        return False

    def _undo(self) -> None:
        connection = self.connection
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._give_up()

    def _did_commit(self, error: BaseException) -> bool:
        """Ask the file, through a new connection, whether the last flush is in it."""
        self._give_up()
        if self._path is None:
            raise self._unknown() from error
        try:
            self._open()
            row = self.connection.execute(
                "SELECT number FROM penstock_flush WHERE writer = ?", (self._writer,)
            ).fetchone()
        except sqlite3.Error:
            self._give_up()
            raise self._unknown() from error
        return row is not None and row[0] == self._number

    def _unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"store {self.name}: a commit failed, and the file does not say whether it happened",
            hint="look for the write's effect before repeating it",
        )

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _explained(self, error: BaseException) -> BaseException:
        return explained(error, self.name, self._path)


def _is_full(error: sqlite3.Error) -> bool:
    """A full disk shows before the commit is written whole, so it certainly did not happen."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _rank(write: Write[Any]) -> tuple[int, int]:
    # Kinds of one rank stay together; within a kind, order of arrival (the sort is stable).
    return (write.kind.rank, id(write.kind))


def _kind(write: Write[Any]) -> Kind[Any, Any]:
    return write.kind
