"""The record of the second half: what became of the cancelled flights, and how the work went."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.demo.stage import Stage
from penstock.service import ServiceHealth
from penstock.tracing import Trace

__all__ = (
    "DeadLetter",
    "LedgerCheck",
    "LoopDelay",
    "Moment",
    "Rebookings",
    "Refunds",
    "Tally",
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of the second half at one moment, taken every 100 ms."""

    seconds: float
    """Since the second half began."""
    total: int
    """Cancelled flights: as many sagas as there are to end."""
    confirmed: int
    refused: int
    parked: int
    outbox: int
    """Events that are committed and not yet handed to the queue."""
    ready: int
    """Messages that wait for a consumer, those that wait for their next attempt among them."""
    in_flight: int
    """Messages that a consumer has."""
    dead: int
    """Messages given up and not redriven."""
    memory: int | None = None
    """Bytes of PSS, all processes of the run; None where it cannot be measured."""

    @property
    def ended(self) -> int:
        """Sagas that ended, however they did."""
        return self.confirmed + self.refused + self.parked

    @property
    def delivered(self) -> int:
        """Events whose notice the consumer has dealt with.

        The numbers are not read in one instant, so this one may be off by those on their way.
        """
        waiting = self.outbox + self.ready + self.in_flight + self.dead
        return max(self.confirmed + self.refused - waiting, 0)


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the cancelled flights of one route, or of one month."""

    name: str
    """Such as "EWR-IAH", or "2013-01"."""
    confirmed: int
    refused: int

    @property
    def cancelled(self) -> int:
        return self.confirmed + self.refused

    @property
    def share(self) -> float:
        """Of them confirmed; NaN where there are none."""
        return self.confirmed / self.cancelled if self.cancelled else float("nan")


@dataclass(frozen=True, slots=True)
class Refunds:
    """What the refund desk's ledger says; amounts in cents."""

    paid: int
    paid_cents: int
    reversed: int
    reversed_cents: int
    repeated: int
    """Calls whose key the desk had seen before: answered again, and without effect."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notice that the consumer gave up."""

    case: str
    """Key of the cancelled flight."""
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class LoopDelay:
    """For how long the event loop could not look for events; seconds."""

    p99: float
    greatest: float


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """The verdict of the independent check."""

    is_balanced: bool
    line: str
    """What it found, in one line."""
    differences: tuple[str, ...] = ()
    """The first ones, each a line."""
    more: int = 0
    """Differences beyond those."""


@dataclass(frozen=True, slots=True)
class Rebookings:
    """The second half of one finished run."""

    seed: int
    seconds: float
    confirmed: int
    refused: int
    """Compensated: whatever their steps had done is undone."""
    parked: int
    reasons: dict[str, int]
    """Refused flights by reason, such as "no seat"."""
    passengers_rebooked: int
    passengers_stranded: int
    refunds: Refunds
    taken_over: int
    """Sagas that another process ended than the one that began them; 0 without a kill."""
    steps: tuple[Stage, ...]
    """Steps and compensations, per attempt; of all processes that worked on it."""
    end_to_end: Stage | None
    """From the start of a saga to the notice of its event; None if nothing got so far."""
    events: int
    """Published by the relay."""
    dead: int
    """Notices that were given up before the consumer was repaired."""
    redriven: int
    """Of those, how many went back to the queue."""
    letters: tuple[DeadLetter, ...]
    """The first of them."""
    routes: tuple[Tally, ...]
    """Most cancelled flights first."""
    months: tuple[Tally, ...]
    """In their order."""
    moments: tuple[Moment, ...]
    slowest: Trace | None
    """The slowest of the traces that are kept."""
    loop: LoopDelay | None
    """None where it was not measured."""
    health: ServiceHealth | None
    """What the service said of itself when it had started."""
    check: LedgerCheck

    @property
    def cancelled(self) -> int:
        """All flights that were to be rebooked and have ended."""
        return self.confirmed + self.refused + self.parked

    @property
    def ended_here(self) -> int:
        """Those of them that ended while this process was at work."""
        if not self.moments:
            return self.cancelled
        return self.moments[-1].ended - self.moments[0].ended

    @property
    def peak_memory(self) -> int | None:
        """Bytes: the greatest sum of PSS that a moment saw."""
        return max((m.memory for m in self.moments if m.memory is not None), default=None)
