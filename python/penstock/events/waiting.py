"""Waiting for the handlers that have suspended."""

from __future__ import annotations

import sys
import threading
from typing import Any

import anyio

from penstock._loops import current_hub
from penstock._native import Emission, Outcomes

from .serial import waiting_for

__all__ = ("Bell", "ended", "settled")


async def settled(emission: Emission, owns: bool) -> Outcomes:
    """What came of an emission, once every handler has ended.

    Cancelled, it ends the handlers of an emission that it owns, and waits for them.
    """
    try:
        bus: Any = emission.bus
        with waiting_for(emission.route or bus._find_route(emission.key)):
            await ended(emission)
    except GeneratorExit:
        # Its coroutine is closed, and cannot wait any more.
        if owns:
            emission.cancel()
        raise
    except BaseException:
        if owns:
            emission.cancel()
            with anyio.CancelScope(shield=True):
                await _ended_whatever_comes(emission)
        raise
    outcomes = emission.outcomes()
    assert outcomes is not None
    return outcomes


async def ended(emission: Emission) -> None:
    """Returns when every handler has ended; a cancellation leaves them as they are."""
    while not emission.done():
        place = current_hub().place()
        if emission.enlist(place):
            await place.wait()


async def _ended_whatever_comes(emission: Emission) -> None:
    while not emission.done():
        try:
            await ended(emission)
        except sys.modules["asyncio"].CancelledError:
            # Asked again to end: it ends, when its handlers have.
            continue


class Bell:
    """What a thread waits for, with the `wake` that a place of a task has."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """Ends the wait."""
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until it was woken; False after so many seconds."""
        return self._event.wait(timeout)
