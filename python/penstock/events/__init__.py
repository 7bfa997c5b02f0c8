"""Announce what happens inside a service: handlers run at once, and each outcome is told."""

from __future__ import annotations

from penstock._native import Emission, Outcome, Outcomes

from .bus import EventBus
from .delivery import Delivery
from .errors import Dropped, HandlerTimeout
from .history import History
from .statistics import EventStatistics, HandlerStatistics
from .subscription import Subscription
from .within import Within

__all__ = (
    "Delivery",
    "Dropped",
    "Emission",
    "EventBus",
    "EventStatistics",
    "HandlerStatistics",
    "HandlerTimeout",
    "History",
    "Outcome",
    "Outcomes",
    "Subscription",
    "Within",
)
