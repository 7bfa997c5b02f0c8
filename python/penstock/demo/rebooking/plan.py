"""What is known of one case before anything is done: its party, and the flights with their seats.

`make_plan` runs in a worker process. It is given 28 bytes a flight and gives plain numbers back,
which are stored with the case: a process that takes over needs neither schedule nor workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from penstock.tracing import Tracer

from . import rules
from .schedule import FLIGHT

__all__ = ("Candidate", "Plan", "make_plan", "plan_case", "tracer")

tracer = Tracer("penstock.demo")

# Flight key, capacity, seats sold, fare in cents.
Candidate = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """One case, as plain data for JSON; with the year's data 25 candidates, about 1 kB."""

    key: str
    """Of the cancelled flight; it names the case."""
    route: str
    """`JFK-LAX`."""
    distance: int
    """Miles."""
    party: int
    """Passengers."""
    fare: int
    """What each of them has paid, in cents."""
    candidates: list[Candidate]
    """In the order in which they are tried."""

    def refund(self, legs: Iterable[Sequence[str | int]]) -> int:
        """Cents that are owed to the party when its seats are on `legs`, (flight key, seats).

        Raises KeyError for a flight that is no candidate.
        """
        fares = {candidate[0]: candidate[3] for candidate in self.candidates}
        return sum(int(seats) * max(0, self.fare - fares[str(key)]) for key, seats in legs)


def plan_case(seed: int, packed: bytes) -> Plan:
    """`make_plan`, as a span of the case's trace: what a worker is asked to run."""
    with tracer.span("plan"):
        return make_plan(seed, packed)


def make_plan(seed: int, packed: bytes) -> Plan:
    """The plan for what `Schedule.packed` has packed; about 5 µs a candidate, and pure."""
    keys, rows = [], np.frombuffer(packed, FLIGHT).tolist()
    for year, month, day, _, _, _, _, flight, _, carrier, origin, _ in rows:
        keys.append(rules.flight_key(year, month, day, carrier.decode(), flight, origin.decode()))
    *_, seats, _, distance, _, origin, dest = rows[0]
    return Plan(
        key=keys[0],
        route=f"{origin.decode()}-{dest.decode()}",
        distance=distance,
        party=rules.sold(seed, keys[0], seats),
        fare=rules.fare(seed, keys[0], distance),
        candidates=[
            (key, row[6], rules.sold(seed, key, row[6]), rules.fare(seed, key, row[8]))
            for key, row in zip(keys[1:], rows[1:], strict=True)
        ],
    )
