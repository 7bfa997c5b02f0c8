"""The figures of one queue at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("QueueStatistics",)


class QueueStatistics(NamedTuple):
    """What `Queue.statistics()` returns; totals count from the queue's creation."""

    items: int
    """Inside now."""
    maxsize: int
    """The bound; 0 without one."""
    waiting_getters: int
    """Threads and tasks that wait for an item now."""
    waiting_putters: int
    """Threads and tasks that wait for room now."""
    unfinished: int
    """Put, but not yet reported by `task_done()`."""
    put: int
    """Items accepted so far."""
    got: int
    """Items taken out so far, those dropped by an immediate shutdown included."""
    getter_wakes: int
    """Times a waiting getter was woken; none while the getters are awake."""
    putter_wakes: int
    """Times a waiting putter was woken."""
    system_wakes: int
    """System calls made for those wakes; a burst to one event loop costs one."""
    reserved: int
    """Places set aside by reservations that are still held."""
