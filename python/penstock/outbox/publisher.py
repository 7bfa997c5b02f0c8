"""What the two ways of publishing have in common: counts, spans, and their face to the relay."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from penstock import metrics, tracing
from penstock._durable.headers import TRACEPARENT

from .store import Answer, Burial, Refill, Stored

if TYPE_CHECKING:
    from penstock._durable.leases import Lease
    from penstock.tracing import Span

tracer = tracing.Tracer("penstock.outbox")

_published = metrics.counter("penstock_outbox_published", "events published", ("outbox",))
_failed = metrics.counter("penstock_outbox_failed", "attempts to publish that failed", ("outbox",))
_lag = metrics.histogram(
    "penstock_outbox_lag_seconds", "from an event's row to its publication", ("outbox",)
)
_backlog = metrics.gauge("penstock_outbox_backlog", "events not yet published", ("outbox",))
_blocked = metrics.gauge(
    "penstock_outbox_blocked", "keys that wait for another attempt", ("outbox",)
)


class Tally:
    """What one relay counts, over all its incarnations."""

    def __init__(self, outbox: str, clock: Callable[[], float]) -> None:
        self.published = 0
        self.failed = 0
        self.backlog = _backlog.bind(outbox=outbox)
        self.blocked = _blocked.bind(outbox=outbox)
        self._clock = clock
        self._published = _published.bind(outbox=outbox)
        self._failed = _failed.bind(outbox=outbox)
        self._lag = _lag.bind(outbox=outbox)

    def count_published(self, events: Sequence[Stored]) -> None:
        self.published += len(events)
        self._published.inc(len(events))
        now = self._clock()
        for event in events:
            self._lag.record(max(0.0, now - event.created_at))

    def count_failed(self) -> None:
        self.failed += 1
        self._failed.inc()


def wall_clock() -> float:
    """The database's clock is that of this machine."""
    return time.time()


class Settled:
    """What the store has to be told. Publishers append; whoever has told it removes."""

    __slots__ = ("buried", "published")

    def __init__(self) -> None:
        self.published: list[int] = []
        self.buried: list[Burial] = []


class Publisher(Protocol):
    """Publishes the events of one incarnation of a relay. All on the loop's thread."""

    failure: Exception | None
    """What must end the relay; its wake has been called then."""
    under_way: int
    """Events that somebody is publishing right now."""

    @property
    def blocked(self) -> int:
        """Keys that wait for another attempt."""

    @property
    def cursor(self) -> int:
        """Everything up to it was handed over."""

    def room(self) -> tuple[int, int]:
        """How many further events may come, and how many bytes of them."""

    def refills(self) -> list[Refill]:
        """Events of single keys that it needs to go on."""

    def take(self, refills: Sequence[Refill], answer: Answer) -> None:
        """Hand over what the store has found."""

    def stop(self) -> None:
        """Begin nothing more."""

    async def run(self, lease: Lease) -> None:
        """Publish until cancelled."""


def publishing(event: Stored, headers: Mapping[str, str]) -> AbstractContextManager[Span | None]:
    """A span of the trace that the event was added in; none, if it was in no trace."""
    if TRACEPARENT not in headers:
        return _UNTRACED
    return span_of(event, headers)


def span_of(event: Stored, headers: Mapping[str, str]) -> Span:
    attributes: dict[str, object] = {"event.id": event.id}
    if event.key is not None:
        attributes["event.key"] = event.key
    parent = tracing.TraceContext.from_headers(headers)
    return tracer.span(f"publish {event.topic}", attributes, parent=parent, kind="producer")


_UNTRACED: AbstractContextManager[None] = nullcontext()
