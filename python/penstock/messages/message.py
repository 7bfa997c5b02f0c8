"""What a handler gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from penstock._durable.leases import Lease

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """One message in flight."""

    data: T
    id: str
    """The same through all attempts and redrives: hand it to the outside as idempotency key."""
    key: str | None
    """Messages of one key are handled one after the other, in the order they were enqueued."""
    attempt: int
    """From 1; counts this one, and those whose consumer died."""
    headers: Mapping[str, str]
    """What was enqueued with it; traces travel here."""
    fence: int
    """Rises with each delivery of this message and along its key: an outside system that keeps
    the highest it has seen can refuse a consumer that was taken over and does not know it."""
    enqueued_at: float
    """Seconds since 1970, by the store's clock."""
    _lease: Lease | None = field(default=None, repr=False, compare=False)

    @property
    def is_fenced(self) -> bool:
        """Whether another consumer may have this message by now: look before a step that counts.

        True once the lease is over, for whatever reason; returning then acknowledges nothing.
        """
        return self._lease is not None and self._lease.is_lost
