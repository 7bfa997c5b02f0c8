"""Publish exactly what was committed, and have the effect once on the other side.

An outbox is a table beside the user's own: events are written in the same transaction, and a relay
publishes what was committed, at least once and in order for each key. An inbox remembers what
was handled.
"""

from __future__ import annotations

from .dead import DeadEvent
from .event import Event, NewEvent
from .inbox import Inbox
from .outbox import Outbox
from .relay import Relay
from .statistics import RelayStatistics

__all__ = (
    "DeadEvent",
    "Event",
    "Inbox",
    "NewEvent",
    "Outbox",
    "Relay",
    "RelayStatistics",
)
