"""What `cqrs` writes on the user's connection: event logs, positions of read models, answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from penstock.errors import Misuse

from . import cqrs_tables as sql
from .joined import create

NAME = "cqrs"


def create_log(connection: Any, name: str) -> None:
    create(connection, f"of event log {name!r}", NAME, sql.CQRS, (sql.NEW_LOG, (name,)))


def create_tables(connection: Any, whose: str) -> None:
    create(connection, f"of {whose}", NAME, sql.CQRS, None)


def add_logged(connection: Any, name: str, row: tuple[Any, ...]) -> int:
    """A row of id, topic, key, payload; its place."""
    found = all_rows(connection, f"event log {name!r}", sql.NEXT, (name,))
    if not found:
        raise Misuse(
            f"this database has no event log {name!r}",
            hint="call create_tables(connection) of this EventLog once, where you make your tables",
        )
    seq = int(found[0][0])
    connection.execute(sql.LOG, (name, seq, *row))
    return seq


def read_log(connection: Any, name: str, after: int, limit: int) -> list[Any]:
    return all_rows(connection, f"event log {name!r}", sql.READ, (name, after, limit))


def last_of_log(connection: Any, name: str) -> int:
    found = all_rows(connection, f"event log {name!r}", sql.LAST, (name,))
    return int(found[0][0]) if found else 0


def forget_log(connection: Any, name: str, through: int, limit: int) -> int:
    return int(connection.execute(sql.FORGET_LOG, (name, through, limit)).rowcount)


def answer(connection: Any, keeper: str, key: str) -> Any:
    found = all_rows(connection, f"Answers({keeper!r})", sql.ANSWER, (keeper, key))
    return found[0] if found else None


def keep(connection: Any, keeper: str, key: str, message: bytes, kept: bytes) -> None:
    connection.execute(sql.KEEP, (keeper, key, message, kept))


def forget_answers(connection: Any, keeper: str, older_than: float, limit: int) -> int:
    return int(connection.execute(sql.FORGET_ANSWERS, (keeper, older_than, limit)).rowcount)


def all_rows(connection: Any, whose: str, statement: str, parameters: Sequence[Any]) -> list[Any]:
    """Rows as tuples, whatever the connection's row factory."""
    try:
        cursor = connection.execute(statement, parameters)
    except sqlite3.OperationalError as error:
        if "no such table: penstock_" in str(error):
            raise Misuse(
                f"this database has no tables of {whose}",
                hint="call its create_tables(connection) once, where you make your own tables",
            ) from error
        raise
    cursor.row_factory = None
    rows: list[Any] = cursor.fetchall()
    return rows
