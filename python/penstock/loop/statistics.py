"""What a monitor has seen so far."""

from __future__ import annotations

from dataclasses import dataclass

from penstock._native import Distribution

__all__ = ("LoopStatistics",)


@dataclass(frozen=True, slots=True)
class LoopStatistics:
    """Since the monitor's start."""

    loop: str
    """One of "asyncio", "uvloop" and "trio"."""
    delay: Distribution
    """Seconds for which the loop could not look for events: of every turn on asyncio and trio;
    on uvloop the waits of probes that are sent while it is busy."""
    utilisation: float | None
    """Share of the time spent in turns; None on uvloop, which does not let it be seen."""
    blocks: int
    """Turns that took at least the threshold."""
    blocked_seconds: float
    """In those, as far as they are over."""
    longest: float
    """Seconds of the longest of them; 0.0 without any."""
