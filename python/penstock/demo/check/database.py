"""What the database says, read through plain sqlite3 and compared with what it should say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .expected import Expected
from .rows import differences
from .source import Unreadable

__all__ = ("compare_database",)

# Everything of penstock's own tables that is known here: names and columns, nothing else. `state`
# is completed or compensated once a saga has ended; whatever is in the others at the end of a run
# should have gone. Each of them names the flight in its second item.
_SAGAS = "penstock_saga", "key", "state", "name"
_LEFT_OVER = (
    ("penstock_outbox_event", "key", "an event that was never published"),
    ("penstock_outbox_dead", "key", "an event that could not be published"),
    ("penstock_message", "key", "a message that was never handled"),
    ("penstock_message_dead", "key", "a dead letter"),
)
_SAGA = "rebook"
_ENDS = {"confirmed": "completed", "refused": "compensated"}


def compare_database(path: Path, expected: Expected, seed: int) -> Iterator[str]:
    """A sentence for each difference. Raises `Unreadable` for what is no whole database."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    # Without a log nothing is under way; and a reader of a database that was left in WAL mode
    # would otherwise make a log and its index, and leave them there.
    if not Path(f"{path}-wal").exists():
        address += "&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield from _compare(_Tables(connection), expected, seed)
    except sqlite3.Error as error:
        raise Unreadable(
            path,
            f"cannot be read as a database: {error}",
            "give the file that the demo was given with --database",
        ) from None


class _MissingError(Exception):
    """A table or column that is not there."""


class _Tables:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        there = [row[1] for row in self._connection.execute(f'PRAGMA table_info("{table}")')]
        if not there:
            raise _MissingError(f"{table}: expected this table, found none")
        for column in columns:
            if column not in there:
                raise _MissingError(f"{table}: expected a column {column}, found none")
        # Names are our own, and checked: a parameter can name neither table nor column.
        listed = ", ".join(f'"{column}"' for column in columns)
        return self._connection.execute(f'SELECT {listed} FROM "{table}"').fetchall()  # noqa: S608


def _compare(tables: _Tables, expected: Expected, seed: int) -> Iterator[str]:
    for section in (
        _run(tables, expected, seed),
        _rebookings(tables, expected),
        _sagas(tables, expected),
        _holds(tables, expected),
        _inventory(tables, expected),
        _notices(tables, expected),
        *(_left_over(tables, *table) for table in _LEFT_OVER),
    ):
        try:
            yield from section
        except _MissingError as error:
            yield str(error)


def _run(tables: _Tables, expected: Expected, seed: int) -> Iterator[str]:
    columns = "one", "seed", "cancelled"
    yield from differences(
        "demo_run",
        columns[1:],
        {1: (seed, len(expected.cases))},
        _keyed(tables.read("demo_run", *columns)),
        lambda _: "the run",
    )


def _rebookings(tables: _Tables, expected: Expected) -> Iterator[str]:
    columns = "case_key", "outcome", "reason", "party", "refund", "event"
    rows = tables.read("rebooking", *columns)
    yield from differences(
        "rebooking",
        columns[1:-1],
        {
            case.key: (case.outcome, case.reason, case.party, case.kept)
            for case in expected.cases.values()
        },
        [
            (case, (outcome, "" if reason is None else reason, party, refund))
            for case, outcome, reason, party, refund, _ in rows
        ],
    )
    first: dict[str, str] = {}
    for case, *_, event in rows:
        if not isinstance(event, str) or not event:
            yield f"{case}: rebooking: expected the id of its event, found {event!r}"
        elif event in first:
            yield f"{case}: rebooking: expected an event of its own, found that of {first[event]}"
        else:
            first[event] = case


def _sagas(tables: _Tables, expected: Expected) -> Iterator[str]:
    table, key, state, name = _SAGAS
    yield from differences(
        "saga",
        (state,),
        {(_SAGA, case.key): (_ENDS[case.outcome],) for case in expected.cases.values()},
        [((name, key), (state,)) for name, key, state in tables.read(table, name, key, state)],
        lambda pair: pair[1] if pair[0] == _SAGA else f"{pair[1]} (saga {pair[0]!r})",
    )


def _holds(tables: _Tables, expected: Expected) -> Iterator[str]:
    yield from differences(
        "seats held",
        ("seats",),
        {pair: (seats,) for pair, seats in expected.holds.items()},
        [
            ((case, flight), (seats,))
            for case, flight, seats in tables.read("seat_hold", "case_key", "flight", "seats")
        ],
        lambda pair: f"{pair[0]} on {pair[1]}",
    )


def _inventory(tables: _Tables, expected: Expected) -> Iterator[str]:
    columns = "flight", "capacity", "sold", "held"
    yield from differences(
        "inventory",
        columns[1:],
        expected.inventory,
        _keyed(tables.read("seat_inventory", *columns)),
    )


def _notices(tables: _Tables, expected: Expected) -> Iterator[str]:
    """One notice for each committed event, whatever was delivered twice on the way."""
    events = dict(_keyed(tables.read("rebooking", "case_key", "event")))
    columns = "case_key", "event", "outcome"
    yield from differences(
        "notice",
        columns[1:],
        {
            case.key: (*events[case.key], case.outcome)
            for case in expected.cases.values()
            if case.key in events
        },
        _keyed(tables.read("notice", *columns)),
    )


def _left_over(tables: _Tables, table: str, key: str, what: str) -> Iterator[str]:
    for (case,) in tables.read(table, key):
        yield f"{case or 'without a flight'}: {table}: expected nothing, found {what}"


def _keyed(rows: list[tuple[Any, ...]]) -> list[tuple[Any, Sequence[Any]]]:
    return [(row[0], row[1:]) for row in rows]
