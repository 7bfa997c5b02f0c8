"""What must come of each cancelled flight, computed from the file alone, one route at a time.

The rules are the demo's, written down a second time and in one piece: no steps, no attempts, no
compensations, only what is left when all of them have ended.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from .flights import WINDOW, Flight, Year
from .source import Route

__all__ = ("Case", "Expected", "draw", "expect")

_NO_SEAT = "no seat"
_DECLINED = "refund declined"
_GATE_CLOSED = "gate closed"


class Case(NamedTuple):
    """The end of one cancelled flight; `reason` is empty when it is confirmed.

    `paid` is what the desk pays in cents, 0 for nothing; when the flight is refused after that,
    the same is reversed.
    """

    key: str
    party: int
    reason: str
    paid: int

    @property
    def outcome(self) -> str:
        return "refused" if self.reason else "confirmed"

    @property
    def kept(self) -> int:
        """The refund that stands in the end, in cents."""
        return 0 if self.reason else self.paid


@dataclass(frozen=True, slots=True)
class Expected:
    """Everything that database and ledger must say.

    `holds` has the seats that stay taken by (case, flight); `inventory` has capacity, sold and
    held of each flight that was ever a candidate.
    """

    cases: dict[str, Case] = field(default_factory=dict)
    holds: dict[tuple[str, str], int] = field(default_factory=dict)
    inventory: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def draw(seed: int, what: str, key: str) -> int:
    """A number below 2**64 that seed, purpose and key decide between them."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{what}/{key}".encode()).digest()[:8], "big")


def expect(year: Year, seed: int) -> Expected:
    """Settle every cancelled flight of the year."""
    expected = Expected()
    for route in sorted(year.cancelled):
        _settle_route(route, year, seed, expected)
    return expected


def _settle_route(route: Route, year: Year, seed: int, expected: Expected) -> None:
    candidates = year.candidates[route]
    moments = [flight.moment for flight in candidates]
    sold = {}
    held: Counter[str] = Counter()
    for flight in year.cancelled[route]:
        party = _sold(seed, flight)
        needed = party
        legs: list[tuple[Flight, int]] = []
        first = bisect_right(moments, flight.moment)
        last = bisect_right(moments, flight.moment + WINDOW)
        for other in candidates[first:last]:
            if other.key not in sold:
                sold[other.key] = _sold(seed, other)
            seats = min(needed, other.capacity - sold[other.key] - held[other.key])
            if seats > 0:
                legs.append((other, seats))
                needed -= seats
        reason, paid = _end(seed, flight, legs, is_seated=not needed)
        expected.cases[flight.key] = Case(flight.key, party, reason, paid)
        if not reason:
            for leg, seats in legs:
                held[leg.key] += seats
                expected.holds[flight.key, leg.key] = seats
    for flight in candidates:
        expected.inventory[flight.key] = flight.capacity, sold[flight.key], held[flight.key]


def _end(
    seed: int, flight: Flight, legs: list[tuple[Flight, int]], *, is_seated: bool
) -> tuple[str, int]:
    """Why the flight is refused, empty if it is not, and what the desk has paid."""
    if not is_seated:
        return _NO_SEAT, 0
    fare = _fare(seed, flight)
    refund = sum(seats * max(0, fare - _fare(seed, leg)) for leg, seats in legs)
    if refund and draw(seed, "decline", flight.key) % 1000 < 15:
        return _DECLINED, 0
    if draw(seed, "gate", flight.key) % 1000 < 10:
        return _GATE_CLOSED, refund
    return "", refund


def _sold(seed: int, flight: Flight) -> int:
    capacity = flight.capacity
    return capacity * 65 // 100 + draw(seed, "sold", flight.key) % (capacity * 31 // 100 + 1)


def _fare(seed: int, flight: Flight) -> int:
    return 4000 + 9 * flight.miles + draw(seed, "fare", flight.key) % 9000
