"""What strategies report, in a list."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from penstock.resilience import Event, subscribe

__all__ = ("capture",)


@contextmanager
def capture(policy: str | None = None) -> Generator[list[Event]]:
    """A list that grows by every event of the process, or of one policy, inside the block.

    Example:
        >>> from penstock import Fallback, Policy
        >>> with capture("numbers") as events:
        ...     Policy("numbers", Fallback(value=0)).call(int, "x")
        0
        >>> [(event.strategy, event.kind) for event in events]
        [('Fallback', 'answered')]

    """
    events: list[Event] = []

    def keep(event: Event) -> None:
        if policy is None or event.policy == policy:
            events.append(event)

    off = subscribe(keep)
    try:
        yield events
    finally:
        off()
