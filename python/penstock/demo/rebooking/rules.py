"""What the simulated airline does: seats, fares and mishaps, each drawn from the seed.

Pure functions of plain values, the same in every process and at every repetition; whoever runs a
case again after a crash comes to the same result. Standard library only: the refund desk imports
this, too.
"""

from __future__ import annotations

from hashlib import sha256

__all__ = (
    "DEFAULT_SEED",
    "SEATS_IF_NOTHING_IS_KNOWN",
    "WINDOW_MINUTES",
    "draw",
    "fare",
    "flight_key",
    "is_busy",
    "is_cut_off",
    "is_declined",
    "is_gate_closed",
    "is_slow",
    "notice_fails",
    "sold",
)

DEFAULT_SEED = 2013

# Passengers accept a flight that leaves within so many minutes of the cancelled one.
WINDOW_MINUTES = 36 * 60

SEATS_IF_NOTHING_IS_KNOWN = 150

# Between 65 and 96 of a hundred seats are sold.
_SOLD_LEAST_PERCENT = 65
_SOLD_SPREAD_PERCENT = 31

# Cents.
_FARE_BASE = 4000
_FARE_PER_MILE = 9
_FARE_SPREAD = 9000

# Of a thousand cases.
_BUSY = 20
_CUT_OFF = 12
_SLOW = 8
_DECLINED = 15
_GATE_CLOSED = 10
_NOTICE_FAILS_ONCE = 50
_NOTICE_FAILS_UNTIL_REPAIRED = 5


def draw(seed: int, what: str, key: str) -> int:
    """A number below 2**64 that looks random and depends on the three alone; about 1 µs."""
    return int.from_bytes(sha256(f"{seed}/{what}/{key}".encode()).digest()[:8], "big")


def flight_key(year: int, month: int, day: int, carrier: str, flight: int, origin: str) -> str:
    """How a flight is named everywhere: `2013-01-01-UA1545-EWR`."""
    return f"{year:04}-{month:02}-{day:02}-{carrier}{flight}-{origin}"


def sold(seed: int, key: str, capacity: int) -> int:
    """Seats sold of a flight's `capacity`; the whole party of a cancelled one."""
    spread = capacity * _SOLD_SPREAD_PERCENT // 100 + 1
    return capacity * _SOLD_LEAST_PERCENT // 100 + draw(seed, "sold", key) % spread


def fare(seed: int, key: str, miles: int) -> int:
    """What a seat costs, in cents."""
    return _FARE_BASE + _FARE_PER_MILE * miles + draw(seed, "fare", key) % _FARE_SPREAD


def is_declined(seed: int, case: str) -> bool:
    """Whether the refund desk declines to pay for `case`."""
    return draw(seed, "decline", case) % 1000 < _DECLINED


def is_busy(seed: int, case: str) -> bool:
    """Whether the refund desk is busy when it is asked about `case` for the first time."""
    return draw(seed, "busy", case) % 1000 < _BUSY


def is_cut_off(seed: int, case: str) -> bool:
    """Whether the first answer about `case` that says "paid" is lost with its connection."""
    return draw(seed, "cut off", case) % 1000 < _CUT_OFF


def is_slow(seed: int, case: str) -> bool:
    """Whether the refund desk takes its time over `case`."""
    return draw(seed, "slow", case) % 1000 < _SLOW


def is_gate_closed(seed: int, case: str) -> bool:
    """Whether the gate has closed by the time `case` is to be confirmed."""
    return draw(seed, "gate", case) % 1000 < _GATE_CLOSED


def notice_fails(seed: int, case: str, attempt: int, *, repaired: bool) -> bool:
    """Whether passing on the notice about `case` fails at `attempt`, counted from 1.

    Some fail at the first attempt, fewer at each one until the consumer is repaired.
    """
    lot = draw(seed, "notice", case) % 1000
    if lot < _NOTICE_FAILS_ONCE:
        return attempt == 1
    return lot < _NOTICE_FAILS_ONCE + _NOTICE_FAILS_UNTIL_REPAIRED and not repaired
