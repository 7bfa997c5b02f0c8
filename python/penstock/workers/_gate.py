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

    Nobody is handed a place while asleep: whoever is called takes one when it runs, and queues in
    front of the others if somebody else was quicker. No more are called than there are places, so
    those who wait are served in the order in which they came.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._lock = threading.Lock()
        self._sleepers: deque[_Sleeper] = deque()
        self._called = 0
        """Taken from the sleepers, and not awake yet."""
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
        sleeper = _Thread()
        entered = self._enter_or_queue_up(sleeper, in_front=False)
        while not entered:
            try:
                sleeper.wait()
            except BaseException:
                self._go_away(sleeper)
                raise
            woken, sleeper = sleeper, _Thread()
            entered = self._come_in(woken, sleeper)

    async def aenter(self, deadline: float | None) -> bool:
        """Wait for a place; cancelling takes none. False: the monotonic clock is at `deadline`."""
        hub = current_hub()
        place = hub.place()
        entered = self._enter_or_queue_up(place, in_front=False)
        while not entered:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                if left is not None and left <= 0:
                    self._go_away(place)
                    return False
                await place.wait(left)
            except BaseException:
                self._go_away(place)
                raise
            woken, place = place, hub.place()
            entered = self._come_in(woken, place)
        return True

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            self._call()

    def open_for_all(self) -> None:
        """Let everybody in, now and later; they will find out by themselves what has closed."""
        with self._lock:
            self._open = True
            sleepers = list(self._sleepers)
            self._called += len(sleepers)
            self._sleepers.clear()
        for sleeper in sleepers:
            sleeper.wake()

    def _enter_or_queue_up(self, sleeper: _Sleeper, *, in_front: bool) -> bool:
        with self._lock:
            return self._take_or_append(sleeper, in_front=in_front)

    def _come_in(self, woken: _Sleeper, again: _Sleeper) -> bool:
        """After a sleep: take a place, or queue up again, as `again` and in front."""
        with self._lock:
            self._withdraw(woken)
            entered = self._take_or_append(again, in_front=True)
            self._call()
            return entered

    def _go_away(self, sleeper: _Sleeper) -> None:
        """Without a place: whoever had been called passes it on."""
        with self._lock:
            self._withdraw(sleeper)
            self._call()

    # With the lock held:

    def _take_or_append(self, sleeper: _Sleeper, *, in_front: bool) -> bool:
        if self._open or self._inside < self._limit:
            self._inside += 1
            return True
        if in_front:
            self._sleepers.appendleft(sleeper)
        else:
            self._sleepers.append(sleeper)
        return False

    def _withdraw(self, sleeper: _Sleeper) -> None:
        if sleeper in self._sleepers:
            self._sleepers.remove(sleeper)
        else:
            self._called -= 1

    def _call(self) -> None:
        while self._sleepers and self._inside + self._called < self._limit:
            self._called += 1
            self._sleepers.popleft().wake()
