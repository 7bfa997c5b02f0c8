"""The clock that pauses, deadlines and windows are measured by: monotonic, virtual in tests.

There is one for the process. `penstock.testing` puts a virtual one in its place; then `now()`
moves only when a test moves it, and what sleeps here wakes when it does.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Protocol

from ._loops import current_hub
from ._native import set_states_clock

__all__ = ("VirtualClock", "at_change", "install", "now", "now_ns", "sleep", "sleep_blocking")


class VirtualClock(Protocol):
    """What stands in for the monotonic clock in a test."""

    def now(self) -> float:
        """Seconds on this clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock has moved on by so much."""
        ...

    def sleep_blocking(self, seconds: float) -> None:
        """The same for a thread."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Calls back from whoever moves the clock to `when` or beyond."""
        ...


virtual: VirtualClock | None = None
"""The clock in force; None for the real one. Read on hot paths, hence a plain name."""

_changed: weakref.WeakSet[Resettable] = weakref.WeakSet()


class Resettable(Protocol):
    """Something that remembers moments of the clock in force."""

    def reset(self) -> None:
        """Forgets them: another clock is in force from here on."""
        ...


def now() -> float:
    """Seconds since some moment; the same clock for all threads and processes."""
    return time.monotonic() if virtual is None else virtual.now()


def now_ns() -> int:
    """Nanoseconds on the same clock."""
    return time.monotonic_ns() if virtual is None else round(virtual.now() * 1e9)


async def sleep(seconds: float) -> None:
    """Sleeps on asyncio, uvloop or trio; a cancellation ends it at once."""
    if virtual is None:
        await current_hub().place().wait(seconds)
    else:
        await virtual.sleep(seconds)


def sleep_blocking(seconds: float) -> None:
    """Sleeps in a thread."""
    if virtual is None:
        time.sleep(seconds)
    else:
        virtual.sleep_blocking(seconds)


def install(clock: VirtualClock | None) -> VirtualClock | None:
    """Puts a clock in force, the real one for None; returns the one before.

    Native states go by it as well, when they are not told a moment.
    """
    global virtual
    before, virtual = virtual, clock
    set_states_clock(None if clock is None else now_ns)
    for each in list(_changed):
        each.reset()
    return before


def at_change(resettable: Resettable) -> None:
    """Has `resettable` told whenever another clock comes into force, as long as it lives."""
    _changed.add(resettable)
