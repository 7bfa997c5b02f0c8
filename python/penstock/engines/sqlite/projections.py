"""Where read models stand: their position, and the tables that are being built beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import cqrs_tables as sql
from .cqrs import all_rows, create_tables

__all__ = ("Place", "create", "place")


class Place(NamedTuple):
    """A row of `penstock_projection`."""

    version: str
    position: int
    seen: int
    generation: int
    shadow: int | None
    shadow_position: int


def create(
    connection: Any,
    name: str,
    version: str,
    after: int,
    tables: Mapping[str, str],
    indexes: Mapping[str, Sequence[str]],
) -> None:
    """Make the tables of a projection, unless it has them."""
    create_tables(connection, f"projection {name!r}")
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN IMMEDIATE")
    try:
        if place(connection, name) is None:
            connection.execute(sql.NEW_PROJECTION, (name, version, after, after))
            make(connection, {table: table for table in tables}, tables, indexes, 0)
        if own:
            connection.execute("COMMIT")
    except BaseException:
        if own and connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def place(connection: Any, name: str) -> Place | None:
    found = all_rows(connection, f"projection {name!r}", sql.PROJECTION, (name,))
    return Place(*found[0]) if found else None


def make(
    connection: Any,
    names: Mapping[str, str],
    tables: Mapping[str, str],
    indexes: Mapping[str, Sequence[str]],
    generation: int,
) -> None:
    """The tables under these names. An index keeps its name for good, so each has a new one."""
    for table, columns in tables.items():
        connection.execute(f'CREATE TABLE "{names[table]}" ({columns})')
        for number, index in enumerate(indexes.get(table, ())):
            called = f"{table}__{generation}_{number}"
            connection.execute(f'CREATE INDEX "{called}" ON "{names[table]}" ({index})')


def shadow_names(tables: Mapping[str, str], generation: int) -> dict[str, str]:
    return {table: f"{table}__{generation}" for table in tables}


def begin_shadow(
    connection: Any,
    name: str,
    after: int,
    tables: Mapping[str, str],
    indexes: Mapping[str, Sequence[str]],
) -> int:
    """Empty tables beside those that are read; what an earlier try has left goes. Its number."""
    now = place(connection, name)
    assert now is not None, "its tables were made"
    if now.shadow is not None:
        stale = f"__{now.shadow}"
        for (left,) in all_rows(
            connection,
            name,
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, ?) = ?",
            (-len(stale), stale),
        ):
            if left.removesuffix(stale) in tables:
                connection.execute(f'DROP TABLE "{left}"')
    generation = now.generation + 1
    make(connection, shadow_names(tables, generation), tables, indexes, generation)
    connection.execute(sql.BEGIN_SHADOW, (generation, generation, after, name))
    return generation


def switch(connection: Any, name: str, version: str, tables: Mapping[str, str]) -> None:
    """The shadow is what is read from here on."""
    now = place(connection, name)
    assert now is not None, "it is being rebuilt"
    assert now.shadow is not None, "it is being rebuilt"
    # Otherwise renaming looks into the user's views and triggers, where the table is missing.
    ((legacy,),) = all_rows(connection, name, "PRAGMA legacy_alter_table", ())
    connection.execute("PRAGMA legacy_alter_table = ON")
    try:
        for table, shadow in shadow_names(tables, now.shadow).items():
            connection.execute(f'DROP TABLE IF EXISTS "{table}"')
            connection.execute(f'ALTER TABLE "{shadow}" RENAME TO "{table}"')
    finally:
        connection.execute(f"PRAGMA legacy_alter_table = {legacy}")
    position = now.shadow_position
    connection.execute(sql.SWITCH, (version, position, position, name))
    connection.execute(sql.DROP_AHEAD, (name, position))


def advance(connection: Any, name: str, position: int, seen: int) -> None:
    connection.execute(sql.ADVANCE, (position, seen, name))


def advance_shadow(connection: Any, name: str, position: int) -> None:
    connection.execute(sql.ADVANCE_SHADOW, (position, name))


def put_ahead(connection: Any, name: str, seq: int, topic: str, payload: bytes) -> None:
    connection.execute(sql.AHEAD, (name, seq, topic, payload))


def next_ahead(connection: Any, name: str, seq: int) -> Any:
    found = all_rows(connection, name, sql.NEXT_AHEAD, (name, seq))
    return found[0] if found else None


def drop_ahead(connection: Any, name: str, through: int) -> None:
    connection.execute(sql.DROP_AHEAD, (name, through))


def count_ahead(connection: Any, name: str) -> int:
    return int(all_rows(connection, name, sql.COUNT_AHEAD, (name,))[0][0])


def first_seen(connection: Any, name: str, event: str) -> bool:
    return bool(connection.execute(sql.SEEN, (name, event)).rowcount == 1)
