"""Waiting for a wake or a moment of the clock in force."""

from __future__ import annotations

import threading

from penstock import _clock as clock
from penstock._loops import Place as Seat

__all__ = ("wait_blocking", "wait_until")


async def wait_until(seat: Seat, until: float | None) -> None:
    """Until somebody wakes `seat`, or the moment has come."""
    if until is None:
        await seat.wait()
    elif clock.virtual is not None:
        clock.virtual.call_at(until, seat.wake)
        await seat.wait()
    else:
        await seat.wait(max(0.0, until - clock.now()))


def wait_blocking(event: threading.Event, until: float | None) -> None:
    """The same for a thread."""
    if until is None:
        event.wait()
    elif clock.virtual is not None:
        clock.virtual.call_at(until, event.set)
        event.wait()
    else:
        event.wait(max(0.0, until - clock.now()))
