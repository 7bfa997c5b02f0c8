"""`View`: what a projection's handlers write with, whichever tables are being written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from penstock.errors import Misuse

if TYPE_CHECKING:
    import sqlite3

__all__ = ("View",)

_PLACE = re.compile(r"\{(\w+)\}")
_WRITES = re.compile(r"\s*(?:INSERT|REPLACE|UPDATE|DELETE|CREATE|DROP|ALTER)\b", re.IGNORECASE)


class View:
    """The tables of a projection, by `{name}` in SQL: those that are read, or new ones beside them.

    `view.execute("UPDATE {users} SET name = ? WHERE id = ?", (...))`. While a projection is rebuilt
    the same handlers write tables of other names, which is why a statement that writes has to name
    them so. Only inside of a handler, on its thread.
    """

    __slots__ = ("_connection", "_names")

    def __init__(self, connection: sqlite3.Connection, names: Mapping[str, str]) -> None:
        self._connection = connection
        self._names = tuple(names.items())

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`. Raises Misuse for a table that is not the projection's.

        What SQLite raises comes through, and ends the handler's transaction.
        """
        return self._connection.execute(_named(statement, self._names), parameters)

    def executemany(self, statement: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`."""
        return self._connection.executemany(_named(statement, self._names), parameters)


@lru_cache(maxsize=1024)
def _named(statement: str, names: tuple[tuple[str, str], ...]) -> str:
    known = dict(names)

    def name(found: re.Match[str]) -> str:
        table = known.get(found[1])
        if table is None:
            raise Misuse(
                f"{statement!r}: the projection has no table {found[1]!r}",
                hint=f"it has {', '.join(known)}",
            )
        return f'"{table}"'

    made, count = _PLACE.subn(name, statement)
    if not count and _WRITES.match(statement):
        raise Misuse(
            f"{statement!r} writes to no table of the projection",
            hint="name it in braces: INSERT INTO {users} …; a rebuild writes into another table",
        )
    return made
