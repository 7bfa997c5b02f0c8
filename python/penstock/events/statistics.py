"""What a bus has done so far."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("EventStatistics", "HandlerStatistics")


@dataclass(frozen=True, slots=True)
class HandlerStatistics:
    """What one handler has done so far."""

    handler: str
    event: str
    """What it subscribed to."""
    handled: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """What a bus has done so far; handlers that have unsubscribed count in its sums."""

    emitted: int
    handled: int
    failed: int
    cancelled: int
    dropped: int
    """Events, and turns of serial handlers, that found no room."""
    waiting: int
    """Events in the queue: from other threads and loops, or behind too many that go on."""
    under_way: int
    """Emissions that go on and that nobody need await."""
    handlers: tuple[HandlerStatistics, ...]
