"""What a function given to `transact` writes with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlite3

__all__ = ("Transaction",)


class Transaction(Protocol):
    """Part of a transaction of the store; the first argument of a function given to `transact`.

    What is written here is committed as a whole when the function returns, or not at all if it
    raises. Only inside of that function; later uses raise Misuse.
    """

    @property
    def in_transaction(self) -> bool:
        """True, as of a connection that is in one."""

    def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /
    ) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`.

        Raises Misuse for what would end the transaction or change the connection, such as COMMIT
        and PRAGMA, and what SQLite raises.
        """

    def executemany(
        self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`, with the same refusals."""
