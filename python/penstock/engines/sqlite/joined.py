"""What rooms write in a transaction of the user's own: on their connection, by their rules.

The connection may have any row factory, isolation level and statements of its own under way; so
nothing here fetches through its factories, and nothing here commits what it has not begun.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from penstock.errors import Misuse

from . import outbox_tables as sql
from .schema import migrate

_BUSY_SNAPSHOT = 517  # sqlite3.SQLITE_BUSY_SNAPSHOT
_HINT = "begin it with BEGIN IMMEDIATE, so that it has the write lock before it reads"


def create_outbox(connection: Any, name: str) -> None:
    create(connection, f"of outbox {name!r}", "outbox", sql.OUTBOX, (sql.NEW_OUTBOX, (name,)))


def create_inbox(connection: Any, consumer: str) -> None:
    create(connection, f"of inbox {consumer!r}", "inbox", sql.INBOX, None)


def add_events(connection: Any, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of id, topic, key, headers, payload."""
    try:
        if len(rows) == 1:
            connection.execute(sql.ADD, (name, *rows[0]))
        else:
            connection.executemany(sql.ADD, [(name, *row) for row in rows])
    except sqlite3.IntegrityError as error:
        if "penstock_outbox_event.outbox" not in str(error):
            raise
        raise Misuse(
            f"this database has no outbox {name!r}",
            hint="call create_tables(connection) of this Outbox once, where you make your tables",
        ) from error
    except sqlite3.OperationalError as error:
        raise _explained(error, f"outbox {name!r}") from error


def mark(connection: Any, consumer: str, message: str) -> bool:
    """Whether it was not marked before."""
    try:
        cursor = connection.execute(sql.MARK, (consumer, message))
    except sqlite3.OperationalError as error:
        raise _explained(error, f"inbox {consumer!r}") from error
    return bool(cursor.rowcount == 1)


def unmark(connection: Any, consumer: str, message: str) -> None:
    connection.execute(sql.UNMARK, (consumer, message))


def forget(connection: Any, consumer: str, older_than: float, limit: int) -> int:
    try:
        return int(connection.execute(sql.FORGET, (consumer, older_than, limit)).rowcount)
    except sqlite3.OperationalError as error:
        raise _explained(error, f"inbox {consumer!r}") from error


def create(
    connection: Any,
    whose: str,
    room: str,
    migrations: Sequence[Sequence[str]],
    last: tuple[str, tuple[Any, ...]] | None,
) -> None:
    plain = _Plain(connection)
    own = not connection.in_transaction
    if own:
        plain.execute("BEGIN IMMEDIATE")
    try:
        migrate(plain, f"of the tables {whose}", room, migrations)  # type: ignore[arg-type]
        if last is not None:
            plain.execute(*last)
        if own:
            plain.execute("COMMIT")
    except BaseException:
        if own and connection.in_transaction:
            plain.execute("ROLLBACK")
        raise


class _Plain:
    """The connection, giving rows as tuples whatever its row factory."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        cursor = self._connection.execute(statement, parameters)
        cursor.row_factory = None
        return cursor


def _explained(error: sqlite3.OperationalError, whose: str) -> Exception:
    if "no such table: penstock_" in str(error) or "no such table: main.penstock_" in str(error):
        return Misuse(
            f"this database has no tables of {whose}",
            hint="call its create_tables(connection) once, where you make your own tables",
        )
    if error.sqlite_errorcode == _BUSY_SNAPSHOT:
        # Waiting does not help: the transaction has read what is out of date by now.
        error.add_note(f"hint: {_HINT}")
    return error
