"""The versions of our tables. Each room has a number of its own in the file, and goes forward."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from .failures import SchemaTooNew

Migration = Sequence[str]

_VERSIONS = """
CREATE TABLE IF NOT EXISTS penstock_schema (
    room TEXT PRIMARY KEY, version INTEGER NOT NULL
) WITHOUT ROWID
"""


def migrate(
    connection: sqlite3.Connection, name: str, room: str, migrations: Sequence[Migration]
) -> None:
    """Bring the tables of `room` to the newest version, inside the caller's transaction.

    Raises SchemaTooNew, having changed nothing, if they are newer than what is known here.
    """
    connection.execute(_VERSIONS)
    version = version_of(connection, room)
    if version > len(migrations):
        raise SchemaTooNew(
            f"store {name}: its {room} tables are of version {version}, and this penstock "
            f"knows them up to {len(migrations)}",
            hint="upgrade penstock here, or give it a file of its own; nothing was changed",
        )
    if version == len(migrations):
        return
    for migration in migrations[version:]:
        for statement in migration:
            connection.execute(statement)
    connection.execute(
        "INSERT INTO penstock_schema VALUES (?, ?)"
        " ON CONFLICT (room) DO UPDATE SET version = excluded.version",
        (room, len(migrations)),
    )


def version_of(connection: sqlite3.Connection, room: str) -> int:
    """The version of a room's tables in the file; 0 if it has none."""
    known = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = 'penstock_schema'"
    ).fetchone()
    if known is None:
        return 0
    row = connection.execute(
        "SELECT version FROM penstock_schema WHERE room = ?", (room,)
    ).fetchone()
    return 0 if row is None else int(row[0])
