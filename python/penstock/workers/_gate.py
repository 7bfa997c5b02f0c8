"""A counting gate that threads and tasks wait at: at most `limit` are inside."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from penstock._loops import current_hub


class _Sleeper(Protocol):
    def wake(self) -> None: ...


class _Thread:
    """A thread asleep at the gate."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.wake = self._event.set
        self.wait = self._event.wait


class Gate:
    """Lets at most `limit` in; a cancelled waiter passes its turn on.

    Nobody is handed a place while asleep: whoever is woken tries again, in front of the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._lock = threading.Lock()
        self._sleepers: deque[_Sleeper] = deque()
        self._open = False

    def try_enter(self) -> bool:
        with self._lock:
            if self._open or self._inside < self._limit:
                self._inside += 1
                return True
            return False

    def enter_over(self) -> None:
        """Go in though all places may be taken."""
        with self._lock:
            self._inside += 1

    def enter(self) -> None:
        """Wait for a place, blocking the thread."""
        again = False
        while not self.try_enter():
            sleeper = _Thread()
            try:
                if self._queue_up(sleeper, in_front=again):
                    sleeper.wait()
            finally:
                self._go_away(sleeper)
            again = True

    async def aenter(self, deadline: float | None) -> bool:
        """Wait for a place; cancelling takes none. False: the monotonic clock is at `deadline`."""
        again = False
        while not self.try_enter():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            place = current_hub().place()
            try:
                if self._queue_up(place, in_front=again):
                    await place.wait(left)
            finally:
                self._go_away(place)
            again = True
        return True

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            self._wake_one()

    def open_for_all(self) -> None:
        """Let everybody in, now and later; they will find out by themselves what has closed."""
        with self._lock:
            self._open = True
            sleepers = list(self._sleepers)
            self._sleepers.clear()
        for sleeper in sleepers:
            sleeper.wake()

    def _queue_up(self, sleeper: _Sleeper, *, in_front: bool) -> bool:
        with self._lock:
            if self._open or self._inside < self._limit:
                return False
            if in_front:
                self._sleepers.appendleft(sleeper)
            else:
                self._sleepers.append(sleeper)
            return True

    def _go_away(self, sleeper: _Sleeper) -> None:
        # Also on success: a wake that was not needed by its taker is passed on.
        with self._lock:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
            self._wake_one()

    def _wake_one(self) -> None:
        if self._sleepers and self._inside < self._limit:
            self._sleepers.popleft().wake()
