"""Whether what the user has handed in is a connection with a transaction under way."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from penstock.errors import Misuse

_LEGACY = (
    "with its isolation_level a connection of sqlite3 begins the transaction with the first INSERT,"
    " UPDATE or DELETE: write your data first, or connection.execute('BEGIN IMMEDIATE')"
)
_AUTOCOMMIT = (
    "each statement of this connection commits by itself: connection.execute('BEGIN IMMEDIATE') "
    "first, your data and the event next, then COMMIT"
)


class Transaction(Protocol):
    """A `sqlite3.Connection`, or what a store's `transact` hands to its function."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


def check_connection(connection: object, whose: str) -> None:
    """Raises Misuse for what is no connection of a kind we know."""
    for name in ("execute", "executemany", "in_transaction"):
        if not hasattr(connection, name):
            raise Misuse(
                f"{whose}: {connection!r} is no sqlite3.Connection and no transaction of a store",
                hint="give the connection that your own rows are written on",
            )
    if hasattr(connection, "__await__"):
        raise Misuse(
            f"{whose}: {connection!r} is an asynchronous driver's",
            hint="use sqlite3, or transact() of a store",
        )


def check_transaction(connection: object, whose: str) -> None:
    """Raises Misuse if no transaction is under way."""
    check_connection(connection, whose)
    if connection.in_transaction is not True:  # type: ignore[attr-defined]
        legacy = getattr(connection, "isolation_level", None) is not None
        raise Misuse(
            f"{whose}: {connection!r} is not in a transaction, so nothing would bind this to your "
            "own rows",
            hint=_LEGACY if legacy else _AUTOCOMMIT,
        )


def joined() -> Any:
    """The engine's part: what is written on such a connection."""
    return importlib.import_module("penstock.engines.sqlite.joined")
