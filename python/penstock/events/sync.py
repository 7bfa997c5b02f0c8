"""The blocking view of a bus, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock._native import Outcomes

if TYPE_CHECKING:
    from .bus import EventBus

__all__ = ("SyncEvents",)


class SyncEvents:
    """What `bus.sync` is: emits that block. Refused with Misuse on an event loop's thread.

    On an open bus the event goes to the loop that owns it, and the thread waits for what came of
    it. On a bus that no loop uses, handlers that are plain functions are called in this thread, one
    after the other, as a direct call would: in its context, at its cost.
    """

    emit: Callable[..., Outcomes]
    """As `EventBus.emit`: `outcomes = bus.sync.emit("user.created", data)`."""

    def __init__(self, bus: EventBus) -> None:
        # The method itself, so that nothing stands between.
        self.emit = bus._emit_blocking
