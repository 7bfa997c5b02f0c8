"""What is added to an outbox, and what a function that publishes gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from penstock._durable.leases import Lease

__all__ = ("Event", "NewEvent")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewEvent(Generic[T]):
    """One event for `Outbox.add_many`."""

    topic: str
    payload: T
    key: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One committed event, to be published."""

    topic: str
    key: str | None
    """Events of one key are published one after the other, in the order they were committed."""
    data: T
    id: str
    """The same whenever it is published again: hand it on as message id or idempotency key."""
    headers: Mapping[str, str]
    """What was added with it; `traceparent` is that of the span that publishes it."""
    created_at: float
    """Seconds since 1970, by the database's clock."""
    attempt: int
    """From 1; counts those of this relay since it took the outbox."""
    fence: int
    """Rises with every relay that takes the outbox: an outside system that keeps the highest it
    has seen can refuse one that was taken over and does not know it."""
    _lease: Lease | None = field(default=None, repr=False, compare=False)

    @property
    def is_fenced(self) -> bool:
        """Whether another relay may be publishing by now: look before a step that counts."""
        return self._lease is not None and self._lease.is_lost
