"""The record of the second half, read off the finished run's files.

Step times and outcomes come from the database, so they are those of all processes that worked on
it; what only the last one saw comes from `Operated`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import numpy as np

from penstock.demo.data import planes_file
from penstock.demo.failures import DemoError
from penstock.demo.stage import Stage

from .ledger import Entry
from .operation import Operated, Order
from .outcome import DeadLetter, LedgerCheck, LoopDelay, Rebookings, Refunds, Tally
from .schedule import Schedule

__all__ = ("checked", "summarise")

_STEPS = """
SELECT CASE phase WHEN 'do' THEN step ELSE 'undo ' || step END, seconds
FROM penstock_saga_entry WHERE phase <> 'note'
"""
_ORDER = ("reserve", "settle", "confirm", "undo settle", "undo reserve")


def summarise(order: Order, schedule: Schedule, done: Operated, check: LedgerCheck) -> Rebookings:
    """Put together what the report shows; some 100 ms for the year."""
    with closing(_opened(order.database)) as database:
        rows = database.execute("SELECT case_key, outcome, reason, party FROM rebooking").fetchall()
        states = dict(database.execute("SELECT state, count(*) FROM penstock_saga GROUP BY state"))
        (taken_over,) = database.execute(
            "SELECT count(*) FROM penstock_saga WHERE fence > 1"
        ).fetchone()
        steps = _steps(database.execute(_STEPS))
    routes = {
        schedule.key(place): route.name
        for route in schedule.routes
        for place in schedule.cancelled(route)
    }
    delay = done.loop.delay
    seen = done.end_to_end
    return Rebookings(
        seed=order.seed,
        seconds=done.seconds,
        confirmed=states.get("completed", 0),
        refused=states.get("compensated", 0),
        parked=states.get("parked", 0),
        reasons=dict(
            Counter(reason for _, _, reason, _ in rows if reason is not None).most_common()
        ),
        passengers_rebooked=sum(row[3] for row in rows if row[1] == "confirmed"),
        passengers_stranded=sum(row[3] for row in rows if row[1] == "refused"),
        refunds=_refunds(order.ledger),
        taken_over=taken_over,
        steps=steps,
        end_to_end=Stage(
            "start to notice", "case", seen.count, seen.p50, seen.p90, seen.p99, seen.max
        )
        if seen.count
        else None,
        events=done.events,
        dead=done.dead,
        redriven=done.redriven,
        letters=tuple(
            DeadLetter(json.loads(each.payload)["case"], each.reason, each.attempts)
            for each in done.letters
        ),
        routes=tuple(
            sorted(
                _tallies((routes.get(row[0], "?"), row[1]) for row in rows),
                key=lambda tally: (-tally.cancelled, tally.name),
            )
        ),
        months=tuple(
            sorted(_tallies((row[0][:7], row[1]) for row in rows), key=lambda tally: tally.name)
        ),
        moments=done.moments,
        slowest=done.slowest,
        loop=LoopDelay(delay.quantile(0.99), delay.max) if delay.count else None,
        health=done.health,
        check=check,
    )


def _opened(path: Path) -> sqlite3.Connection:
    """To be read only. Nobody writes any more, and a reader of a WAL would leave files behind."""
    wal = path.with_name(f"{path.name}-wal")
    immutable = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro{immutable}", uri=True)


def _steps(rows: Iterable[tuple[str, float]]) -> tuple[Stage, ...]:
    seconds: dict[str, list[float]] = {}
    for name, took in rows:
        seconds.setdefault(name, []).append(took)
    stages = []
    for name in sorted(seconds, key=_ORDER.index):
        times = np.array(seconds[name])
        p50, p90, p99 = np.quantile(times, (0.5, 0.9, 0.99)).tolist()
        stages.append(Stage(name, "attempt", len(times), p50, p90, p99, float(times.max())))
    return tuple(stages)


def _tallies(outcomes: Iterable[tuple[str, str]]) -> list[Tally]:
    counts = Counter(outcomes)
    names = {name for name, _ in counts}
    return [Tally(name, counts[name, "confirmed"], counts[name, "refused"]) for name in names]


def _refunds(path: Path) -> Refunds:
    counts: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for entry in map(Entry.parse, path.read_bytes().splitlines()):
        kind = "repeat" if entry.repeat else entry.kind
        counts[kind] += 1
        cents[kind] += entry.cents
    return Refunds(
        paid=counts["refund"],
        paid_cents=cents["refund"],
        reversed=counts["reversal"],
        reversed_cents=cents["reversal"],
        repeated=counts["repeat"],
    )


async def checked(order: Order, quarantine: Path | None) -> LedgerCheck:
    """Have the ledger check done, by a program of its own; about three seconds for the year.

    Cancelled, it ends the program. Raises `DemoError` when there is no verdict.
    """
    command = [
        *(sys.executable, "-m", "penstock.demo.check", "--json", f"--seed={order.seed}"),
        *(f"--data={order.source}", f"--planes={planes_file()}"),
        *(f"--database={order.database}", f"--ledger={order.ledger}"),
    ]
    if quarantine is not None:
        command.append(f"--quarantine={quarantine}")
    # A Ctrl-C at the terminal is for this process to pass on.
    ran = await anyio.run_process(command, check=False, start_new_session=True)
    if ran.returncode not in {0, 1}:
        said = ran.stderr.decode(errors="replace").strip().removeprefix("ledger check: ")
        what, _, hint = said.partition(" hint: ")
        raise DemoError(
            "the ledger check",
            what or f"ended with {ran.returncode}",
            hint or "run it by hand: python -m penstock.demo.check --help",
        )
    verdict: dict[str, Any] = json.loads(ran.stdout)
    differences = tuple(verdict["differences"])
    line = verdict["line"] if verdict["balances"] else "the ledger does not balance"
    return LedgerCheck(verdict["balances"], line, differences, verdict["more"])
