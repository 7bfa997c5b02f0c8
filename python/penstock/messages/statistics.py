"""The figures of one message queue at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("MessageStatistics",)


class MessageStatistics(NamedTuple):
    """What `MessageQueue.statistics()` returns: the whole queue, of all processes."""

    ready: int
    """Waiting for a consumer."""
    delayed: int
    """Waiting for their time: enqueued with a delay, or between two attempts."""
    in_flight: int
    """Claimed by a consumer."""
    behind: int
    """Waiting for an earlier message of their key."""
    dead: int
    """Given up; `dead_letters()` has them."""
    oldest: float | None
    """Seconds since the oldest message that is not dead was enqueued; None if there is none."""

    @property
    def depth(self) -> int:
        """All that is not dead and not acknowledged."""
        return self.ready + self.delayed + self.in_flight + self.behind
