"""What a user's function gets to write with, inside of a flush.

It runs on the writer's thread, between the writes of others that share its commit. So it may read
and write, and may not end the transaction or change the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn, Self

from penstock.errors import Misuse

_REFUSED = {
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "DETACH",
    "END",
    "PRAGMA",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "VACUUM",
}


_BLANK = " \t\r\n\f;\ufeff"  # what SQLite passes over before a statement
_ENDING = "returning from the function commits, raising undoes"


class _Cursor(sqlite3.Cursor):
    """A cursor that leads to nothing by which the shared transaction could be ended."""

    transaction: Transaction

    @property
    def connection(self) -> NoReturn:
        raise Misuse("the connection of a transaction that others share", hint=_ENDING)

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        self._check(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        self._check(sql)
        return super().executemany(sql, parameters)

    def executescript(self, _script: str, /) -> NoReturn:
        raise Misuse(
            "executescript inside of a transaction that others share: it commits first",
            hint="execute one statement at a time",
        )

    def _check(self, sql: str) -> None:
        if self.transaction.is_over:
            raise Misuse(
                "the transaction is over", hint="use it inside of the function given to transact()"
            )
        word = _first_word(sql)
        if word in _REFUSED:
            raise Misuse(f"{word} inside of a transaction that others share", hint=_ENDING)


class Transaction:
    """Part of a transaction of the store: what is written here is committed as a whole, or not.

    Only inside of the function that was given to `transact`; later uses raise Misuse.
    """

    __slots__ = ("_connection",)

    in_transaction = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection

    def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /
    ) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`; raises Misuse for what would end the transaction."""
        return self._cursor().execute(sql, parameters)

    def executemany(
        self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`, with the same refusals."""
        return self._cursor().executemany(sql, parameters)

    def _cursor(self) -> _Cursor:
        if self._connection is None:
            raise Misuse(
                "the transaction is over", hint="use it inside of the function given to transact()"
            )
        cursor = self._connection.cursor(_Cursor)
        cursor.transaction = self
        return cursor

    @property
    def is_over(self) -> bool:
        return self._connection is None

    def end(self) -> None:
        """Nothing may be written any more."""
        self._connection = None


@lru_cache(maxsize=512)
def _first_word(sql: str) -> str:
    rest = sql.lstrip(_BLANK)
    while rest.startswith(("--", "/*")):
        _, _, rest = rest.partition("\n" if rest.startswith("--") else "*/")
        rest = rest.lstrip(_BLANK)
    word = ""
    for letter in rest:
        if not letter.isalpha():
            break
        word += letter
    return word.upper()
