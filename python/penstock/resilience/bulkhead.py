"""`Bulkhead`: how many calls run at once, and how many wait for a place."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

from penstock import _clock as clock
from penstock._loops import current_hub

from .errors import BulkheadFull
from .limit import current_deadline
from .scope import check_scope, shared_state
from .strategy import Part, Place, Strategy, check_count, check_number
from .waiting import wait_blocking, wait_until
from .weave_text import indented

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Bulkhead",)

# Releases by other processes wake nobody here: places of the machine are asked for again.
POLL_FIRST = 0.001
POLL_LONGEST = 0.02


_ALONE = (
    "each call would wait for the network to get its place: divide max_concurrent by the machines, "
    'with scope="machine" on each, or use an AdaptiveLimit'
)


@dataclass(frozen=True, slots=True)
class Bulkhead(Strategy):
    """At most so many calls at once; those beyond wait in order, or are refused.

    Whoever waits is served in the order of arrival. A place comes back on every exit, also when
    the process that holds it dies (`scope="machine"`).

    Args:
        max_concurrent: calls at once.
        max_waiting: calls that may wait for a place; beyond that `BulkheadFull` is raised at once.
        max_wait: seconds one of them may wait before `BulkheadFull`; None for as long as its
            deadline allows.
        scope: "process", or "machine" for all worker processes together.

    Raises Misuse for a value out of range.

    """

    max_concurrent: int
    max_waiting: int = 0
    max_wait: float | None = None
    scope: Literal["process", "machine"] = "process"

    def __post_init__(self) -> None:
        check_count("Bulkhead", "max_concurrent", self.max_concurrent, 1)
        check_count("Bulkhead", "max_waiting", self.max_waiting, 0)
        if self.max_wait is not None:
            check_number("Bulkhead", "max_wait", self.max_wait)
        check_scope("Bulkhead", self.scope, alone=_ALONE)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return BulkheadPart(self, place)


class BulkheadPart(Part):
    """The permits, and who waits for one in this process."""

    def __init__(self, bulkhead: Bulkhead, place: Place) -> None:
        from penstock._native import ConcurrencyState

        self.bulkhead = bulkhead
        self.place = place
        self.state = shared_state(
            bulkhead.scope,
            place,
            partial(
                ConcurrencyState,
                limit=bulkhead.max_concurrent,
            ),
        )
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """A free place costs two native calls."""
        permit = code.local("permit")
        acquire = code.bind("acquire", self.state.acquire)
        release = code.bind("release", self.state.release)
        waiting, next_ = code.bind("waiting", self._waiting), code.bind("next", self.wake_next)
        queue = code.bind("queue", self.queue if code.is_async else self.queue_blocking)
        leave = [f"{release}({permit})", f"if {waiting}:", f"    {next_}()"]
        lines = [
            f"{permit} = None if {waiting} else {acquire}()",
            f"if {permit} is None:",
            f"    {permit} = {code.wait}{queue}()",
            "try:",
            *indented(body),
        ]
        if not code.is_stream:
            return [*lines, "finally:", *indented(leave)]
        lines += ["except BaseException:", *indented(leave), "    raise"]
        keep = code.bind("keep", partial(partial, self.release))
        return [*lines, f"held.append({keep}({permit}))"]

    def release(self, permit: int, _error: BaseException | None = None) -> None:
        """Gives a place back, and wakes who is next."""
        self.state.release(permit)
        if self._waiting:
            self.wake_next()

    def wake_next(self) -> None:
        """Lets the one who waits longest try."""
        try:
            waiter = self._waiting[0]
        except IndexError:  # gone meanwhile
            return
        waiter.wake()

    async def queue(self) -> int:
        """Waits for a place on an event loop."""
        with self._enter() as waiter:
            pause = POLL_FIRST
            while True:
                # The place to be woken at comes before the attempt, so no wake falls in between.
                seat = current_hub().place()
                waiter.wake = seat.wake
                permit = self._try(waiter)
                if permit is not None:
                    return permit
                until, pause = self._until(waiter, pause)
                await wait_until(seat, until)

    def queue_blocking(self) -> int:
        """Waits for a place in a thread."""
        with self._enter() as waiter:
            waiter.until = min(waiter.until, current_deadline())
            pause = POLL_FIRST
            while True:
                event = threading.Event()
                waiter.wake = event.set
                permit = self._try(waiter)
                if permit is not None:
                    return permit
                until, pause = self._until(waiter, pause)
                wait_blocking(event, until)

    def _enter(self) -> _Waiter:
        max_wait = self.bulkhead.max_wait
        until = math.inf if max_wait is None else clock.now() + max_wait
        waiter = _Waiter(self, until)
        with self._lock:
            if len(self._waiting) >= self.bulkhead.max_waiting:
                # Somebody who has been woken may not have left the queue yet.
                permit = None if self._waiting else self.state.acquire()
                if permit is None:
                    raise self._full()
                waiter.permit = permit
            self._waiting.append(waiter)
        return waiter

    def leave(self, waiter: _Waiter) -> None:
        """Out of the queue, for whatever reason; the next one may have a place to find."""
        with self._lock:
            self._waiting.remove(waiter)
        if self._waiting:
            self.wake_next()

    def _try(self, waiter: _Waiter) -> int | None:
        if waiter.permit is not None:
            return waiter.permit
        return self.state.acquire() if self._waiting[0] is waiter else None

    def _until(self, waiter: _Waiter, pause: float) -> tuple[float | None, float]:
        until = waiter.until
        now = clock.now()
        if until <= now:
            raise self._full()
        if self.bulkhead.scope == "machine":
            return min(until, now + pause), min(2.0 * pause, POLL_LONGEST)
        return (None if until == math.inf else until), pause

    def _full(self) -> BulkheadFull:
        error = BulkheadFull(self.place.policy, self.place.key)
        self.place.report("rejected", error=error)
        return error


class _Waiter:
    __slots__ = ("_part", "permit", "until", "wake")

    def __init__(self, part: BulkheadPart, until: float) -> None:
        self._part = part
        self.until = until
        self.permit: int | None = None
        self.wake: Callable[[], object] = _nobody

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._part.leave(self)


def _nobody() -> None:
    pass
