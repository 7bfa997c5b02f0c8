"""The figures of one queue between processes at one moment."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from penstock._native import SharedQueue

__all__ = ("SharedQueueStatistics", "statistics_of")


class SharedQueueStatistics(NamedTuple):
    """What `SharedQueue.statistics()` returns: first the whole queue, then this process's part."""

    items: int
    """Inside now."""
    bytes: int
    """What they take, arrays included; for each putter to within 64."""
    leased: int
    """Out under a lease now."""
    participants: int
    """Processes that take part now."""
    dead: int
    """Processes that died and whose items or arrays are still in use."""
    waiting_getters: int
    """Processes in which somebody waits for an item now."""
    waiting_putters: int
    """Processes in which somebody waits for room now."""
    put: int
    """Items put by this process so far."""
    got: int
    """Items taken by this process so far."""
    wakes: int
    """Times this process woke a sleeper; none while the others are awake."""
    system_wakes: int
    """System calls made for those wakes."""
    burials: int
    """Deaths that this process noticed first."""
    arrays: int
    """Arrays and other large buffers of this process that somebody holds."""
    array_bytes: int
    """What they take of `arena_bytes`."""


def statistics_of(queue: SharedQueue[Any]) -> SharedQueueStatistics:
    """The figures of `queue` now."""
    return SharedQueueStatistics(*itertools.chain.from_iterable(queue._figures()))  # noqa: SLF001
