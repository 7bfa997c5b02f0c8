"""What a user's function gets to write with, inside of a flush.

It runs on the writer's thread, between the writes of others that share its commit. So it may read
and write, and may not end the transaction or change the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

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
        return self._use(sql).execute(sql, parameters)

    def executemany(
        self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`, with the same refusals."""
        return self._use(sql).executemany(sql, parameters)

    def _use(self, sql: str) -> sqlite3.Connection:
        if self._connection is None:
            raise Misuse(
                "the transaction is over", hint="use it inside of the function given to transact()"
            )
        word = _first_word(sql)
        if word in _REFUSED:
            raise Misuse(
                f"{word} inside of a transaction that others share",
                hint="returning from the function commits, raising undoes",
            )
        return self._connection

    def end(self) -> None:
        """Nothing may be written any more."""
        self._connection = None


@lru_cache(maxsize=512)
def _first_word(sql: str) -> str:
    rest = sql.lstrip(" \t\r\n;")
    while rest.startswith(("--", "/*")):
        _, _, rest = rest.partition("\n" if rest.startswith("--") else "*/")
        rest = rest.lstrip(" \t\r\n;")
    word = ""
    for letter in rest:
        if not letter.isalpha():
            break
        word += letter
    return word.upper()
