"""See that the event loop is blocked, for how long, and by what."""

from __future__ import annotations

from .block import LoopBlock
from .monitor import LoopMonitor
from .statistics import LoopStatistics

__all__ = ("LoopBlock", "LoopMonitor", "LoopStatistics")
