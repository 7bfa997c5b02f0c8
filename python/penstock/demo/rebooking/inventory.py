"""The demo's tables and everything that is done to them, as plain SQL.

Every function takes a `tx`, a transaction that somebody else has begun and will commit: what
`transact` of a store or a step hands out, or a `sqlite3.Connection` in a test. Nothing here reads
a clock or draws a number, so a transaction that was undone may be run again.

That no seat is sold twice does not hang on the statements alone: a CHECK on the row refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from penstock.demo.failures import DemoError

from .plan import Plan

__all__ = (
    "Counts",
    "Reserved",
    "Transaction",
    "claim_run",
    "confirm",
    "count",
    "create_tables",
    "note",
    "refuse",
    "release",
    "reserve",
)

_TABLES = (
    """CREATE TABLE IF NOT EXISTS seat_inventory (
        flight TEXT PRIMARY KEY,
        capacity INTEGER NOT NULL,
        sold INTEGER NOT NULL,
        held INTEGER NOT NULL CHECK (held >= 0 AND capacity - sold - held >= 0)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seat_hold (
        case_key TEXT NOT NULL,
        flight TEXT NOT NULL,
        seats INTEGER NOT NULL CHECK (seats > 0),
        PRIMARY KEY (case_key, flight)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS rebooking (
        case_key TEXT PRIMARY KEY,
        outcome TEXT NOT NULL CHECK (outcome IN ('confirmed', 'refused')),
        reason TEXT,
        party INTEGER NOT NULL,
        refund INTEGER NOT NULL,
        event TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS notice (
        event TEXT PRIMARY KEY,
        case_key TEXT NOT NULL,
        outcome TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS demo_run (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        seed INTEGER NOT NULL,
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        cancelled INTEGER NOT NULL
    )""",
)


class Transaction(Protocol):
    """One transaction of an SQLite file."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...


class Reserved(TypedDict):
    """What a case holds, ready to be stored as JSON."""

    held: int
    legs: list[tuple[str, int]]
    """Flight key and seats, in the order of the plan's candidates."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the closing table shows."""

    confirmed: int
    refused: dict[str, int]
    """Reason → cases."""
    passengers: int
    """Passengers with a new seat."""
    flights: int
    """Flights that took some of them."""
    refunded: int
    """Cents paid to those who were rebooked."""
    notices: int


def create_tables(tx: Transaction) -> None:
    """Make the demo's tables where they are not there yet."""
    for table in _TABLES:
        tx.execute(table)


def claim_run(tx: Transaction, seed: int, source: str, digest: str, cancelled: int) -> bool:
    """Enter the run that this file belongs to; False when it is there already, to be gone on with.

    The same data under another name is the same run. Raises `DemoError` for a file that belongs
    to a run with another seed or with other data.
    """
    row = tx.execute("SELECT seed, source, digest, cancelled FROM demo_run").fetchone()
    if row is None:
        tx.execute(
            "INSERT INTO demo_run (one, seed, source, digest, cancelled) VALUES (1, ?, ?, ?, ?)",
            (seed, source, digest, cancelled),
        )
        return True
    if row[0] != seed:
        raise DemoError(
            _file(tx),
            f"belongs to a run with seed {row[0]}, not {seed}",
            f"go on with it by --seed {row[0]}, or name another file with --database",
        )
    if (row[2], row[3]) != (digest, cancelled):
        raise DemoError(
            _file(tx),
            f"belongs to a run through {row[1]}, and the content of {source} is another",
            "give the same flights with --data, or name another file with --database",
        )
    return False


def _file(tx: Transaction) -> str:
    row = tx.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()
    return (row and row[0]) or "the database"


def reserve(tx: Transaction, plan: Plan) -> Reserved:
    """Hold seats for the party on the plan's candidates, the first ones first, as far as they go.

    Called again for a case that holds seats, it changes nothing and returns what is held. Two
    reads and at most three writes, whatever the number of candidates.
    """
    rows = tx.execute("SELECT flight, seats FROM seat_hold WHERE case_key = ?", (plan.key,))
    if seats := dict(rows.fetchall()):
        legs = [(key, seats[key]) for key, *_ in plan.candidates if key in seats]
        return {"held": sum(seats.values()), "legs": legs}
    tx.executemany(
        "INSERT INTO seat_inventory (flight, capacity, sold, held) VALUES (?, ?, ?, 0) "
        "ON CONFLICT (flight) DO NOTHING",
        [candidate[:3] for candidate in plan.candidates],
    )
    keys = json.dumps([candidate[0] for candidate in plan.candidates])
    rows = tx.execute(
        "SELECT flight, capacity - sold - held FROM seat_inventory "
        "WHERE flight IN (SELECT value FROM json_each(?))",
        (keys,),
    )
    free = dict(rows.fetchall())
    needed, legs = plan.party, []
    for key, *_ in plan.candidates:
        taken = min(free[key], needed)
        if taken:
            legs.append((key, taken))
            needed -= taken
    tx.executemany(
        "INSERT INTO seat_hold (case_key, flight, seats) VALUES (?, ?, ?)",
        [(plan.key, *leg) for leg in legs],
    )
    tx.executemany(
        "UPDATE seat_inventory SET held = held + ? WHERE flight = ?",
        [(taken, key) for key, taken in legs],
    )
    return {"held": plan.party - needed, "legs": legs}


def release(tx: Transaction, case: str) -> int:
    """Give back what `case` holds and return how many seats that was: 0 at the second time."""
    rows = tx.execute("SELECT seats, flight FROM seat_hold WHERE case_key = ?", (case,)).fetchall()
    tx.executemany("UPDATE seat_inventory SET held = held - ? WHERE flight = ?", rows)
    tx.execute("DELETE FROM seat_hold WHERE case_key = ?", (case,))
    return sum(seats for seats, _ in rows)


def confirm(tx: Transaction, case: str, party: int, refund: int, event: str) -> None:
    """Enter that the party of `case` is rebooked; `event` is the id of the event that says so.

    Raises sqlite3.IntegrityError when the case is settled already, whichever way.
    """
    _settle(tx, (case, "confirmed", None, party, refund, event))


def refuse(tx: Transaction, case: str, party: int, reason: str, event: str) -> None:
    """Enter that the party of `case` is not rebooked, and why.

    Raises sqlite3.IntegrityError when the case is settled already, whichever way.
    """
    _settle(tx, (case, "refused", reason, party, 0, event))


def _settle(tx: Transaction, row: tuple[str, str, str | None, int, int, str]) -> None:
    tx.execute(
        "INSERT INTO rebooking (case_key, outcome, reason, party, refund, event) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )


def note(tx: Transaction, event: str, case: str, outcome: str) -> None:
    """Enter that the passengers were told of `event`; sqlite3.IntegrityError at the second time."""
    tx.execute(
        "INSERT INTO notice (event, case_key, outcome) VALUES (?, ?, ?)", (event, case, outcome)
    )


def count(tx: Transaction) -> Counts:
    """Count what has come out so far; some milliseconds."""
    confirmed, passengers, refunded = tx.execute(
        "SELECT count(*), total(party), total(refund) FROM rebooking WHERE outcome = 'confirmed'"
    ).fetchone()
    refused = tx.execute(
        "SELECT reason, count(*) FROM rebooking WHERE outcome = 'refused' "
        "GROUP BY reason ORDER BY count(*) DESC, reason"
    ).fetchall()
    flights = tx.execute("SELECT count(*) FROM seat_inventory WHERE held > 0").fetchone()[0]
    notices = tx.execute("SELECT count(*) FROM notice").fetchone()[0]
    return Counts(confirmed, dict(refused), int(passengers), flights, int(refunded), notices)
