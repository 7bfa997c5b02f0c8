"""The figures of one C callback at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("CCallbackStatistics",)


class CCallbackStatistics(NamedTuple):
    """What `CCallback.statistics()` returns; totals count from its opening."""

    items: int
    """Calls that came and were not taken yet."""
    bytes: int
    """Their copied content."""
    most_items: int
    """The most that ever were inside."""
    most_bytes: int
    """The most copied content that ever was."""
    accepted: int
    """Calls that came in."""
    taken: int
    """Calls that were handed out."""
    dropped: int
    """Calls that found no room and were dropped, or dropped older ones."""
    beyond: int
    """Calls kept beyond the bounds, since they came on a thread that takes and could not wait."""
    waited: int
    """Calls that had to wait for room."""
    late: int
    """Calls after the end; they were answered and otherwise ignored."""
    wakes: int
    """Times a waiting taker was woken; none while the takers are awake."""
    system_wakes: int
    """System calls made for those wakes; a burst costs one."""
