"""A clock that moves when a test says so; native windows, timers and pauses go by it."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Self

from penstock import _clock
from penstock._loops import current_hub
from penstock.errors import Misuse

__all__ = ("FakeClock", "instant")


class FakeClock:
    """Time that stands still until `advance` moves it; in force inside its `with` block.

    All of the process goes by it: pauses, deadlines, timeouts, breaker and limiter windows, ages
    in caches. So one test at a time. It starts at an arbitrary moment, as the real one does. Any
    thread may advance it; what is due wakes in its own thread or loop.

    Example:
        >>> from penstock import Cache, Policy
        >>> calls = []
        >>> with FakeClock() as clock:
        ...     answer = Policy("answers", Cache(ttl=60.0))(lambda: calls.append(1))
        ...     answer(), answer()
        ...     clock.advance(60.0)
        ...     answer()
        (None, None)
        >>> len(calls)
        2

    """

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._sleeping = 0
        self._before: _clock.VirtualClock | None = None
        self._is_in_force = False
        self.sleeps: list[float] = []
        """Every pause that was begun, in seconds."""

    def __enter__(self) -> Self:
        if self._is_in_force:
            raise Misuse("FakeClock: it is in force already")
        self._is_in_force = True
        self._before = _clock.install(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._is_in_force = False
        _clock.install(self._before)
        self._call_due(math.inf)  # nobody is left asleep on a clock that will not move again

    @property
    def sleeping(self) -> int:
        """How many pauses are under way: tasks and threads that wait for this clock."""
        return self._sleeping

    @property
    def pending(self) -> int:
        """How many callbacks are due later: pauses, and timers of deadlines and hedges."""
        with self._lock:
            return len(self._due)

    def now(self) -> float:
        """Seconds on this clock."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves on, calling what is due in the order of its time."""
        if not seconds >= 0 or math.isinf(seconds):
            raise Misuse(f"FakeClock: advance({seconds!r})", hint="seconds, from 0")
        self._call_due(self._now + seconds)

    def _call_due(self, until: float) -> None:
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > until:
                    if until < math.inf:
                        self._now = max(self._now, until)
                    return
                when, _, callback = heapq.heappop(self._due)
                self._now = max(self._now, when) if until < math.inf else self._now
            callback()

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Calls back from whoever moves the clock to `when` or beyond; at once if it is there."""
        with self._lock:
            if when > self._now:
                heapq.heappush(self._due, (when, next(self._numbers), callback))
                return
        callback()

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock has moved on by so much."""
        self.sleeps.append(seconds)
        place = current_hub().place()
        self.call_at(self._now + seconds, place.wake)
        self._sleeping += 1
        try:
            await place.wait()
        finally:
            self._sleeping -= 1

    def sleep_blocking(self, seconds: float) -> None:
        """The same for a thread."""
        self.sleeps.append(seconds)
        woken = threading.Event()
        self.call_at(self._now + seconds, woken.set)
        with self._lock:
            self._sleeping += 1
        try:
            woken.wait()
        finally:
            with self._lock:
                self._sleeping -= 1


class _Instant(FakeClock):
    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
        await current_hub().checkpoint()

    def sleep_blocking(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)


@contextmanager
def instant() -> Generator[FakeClock]:
    """Every pause is over at once: the clock jumps to its end. `sleeps` has how long each was.

    Deadlines and windows see the time that the pauses would have taken.

    Example:
        >>> from penstock import Policy, Retry
        >>> with instant() as clock:
        ...     try:
        ...         Policy("dead", Retry(attempts=3, delay=1.0, jitter=0.0)).call(int, "x")
        ...     except ValueError as error:
        ...         clock.sleeps
        [1.0, 2.0]

    """
    with _Instant() as clock:
        yield clock
