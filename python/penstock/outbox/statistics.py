"""The figures of one relay and its outbox at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("RelayStatistics",)


class RelayStatistics(NamedTuple):
    """What `Relay.statistics()` returns: the whole outbox, and what this relay has done."""

    backlog: int
    """Committed and not yet marked as published, whoever is publishing."""
    oldest: float | None
    """Seconds since the oldest of them was added; None if there is none."""
    dead: int
    """Given up; `dead_letters()` has them."""
    published: int
    """By this relay, since it was made."""
    failed: int
    """Attempts of this relay that raised."""
    blocked: int
    """Keys, and events without a key, that wait for another attempt of this relay."""
    is_active: bool
    """Whether this relay has the outbox; another one may."""
