"""The comparisons of one strangler that are under way: begun after the answer, bounded, ended.

A thread cannot be stopped, and one more to wait for it would cost the caller's processor a wake
more. So a candidate that takes too long is seen by whoever looks next: the next call, the report,
or who waits for the end. It is left behind, and its place is free again; of those left behind there
are never more than may be under way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import perf_counter
from typing import Any

import anyio

from penstock._durable.cancellation import is_cancelled_from_outside
from penstock._loops import Place, current_hub
from penstock.errors import Rejected
from penstock.metrics import Histogram
from penstock.resilience import AttemptTimeout
from penstock.resilience.threads import hand_out

from .candidate import Call, Stopwatch, context_beside, finding, run, run_blocking
from .compare import Compare, Observation
from .events import count
from .home import Home, Task, current_home
from .judge import Judge

__all__ = ("Comparisons",)

_log = logging.getLogger("penstock.adapters")


class Comparisons:
    """What a strangler's `Compare` sets going. All of it may be called from any thread."""

    def __init__(
        self, name: str, new: Callable[..., Any], compare: Compare, seconds: Histogram
    ) -> None:
        self.name = name
        self.judge = Judge(name, compare, seconds)
        self._new = new
        self._most = compare.max_pending
        self._policy = compare.policy_for(name)
        self._policy_in_thread = compare.policy_in_thread(name)
        # A policy of the user's own ends what takes too long.
        self._timeout = compare.timeout if compare.policy is None else None
        self._lock = threading.Condition()
        self._errands: dict[_Errand, None] = {}  # in threads, the oldest first
        self._left_behind = 0
        self._places: list[Place] = []
        self._tasks: dict[Task, Home] = {}
        self._ending: list[Place] = []
        self._pending = 0
        self.dropped = 0
        self.skipped = 0

    @property
    def pending(self) -> int:
        """How many are under way."""
        self._expire()
        return self._pending

    # -- beginning ------------------------------------------------------------------------------

    def begin(self, call: Call, old: Observation, *, in_thread: bool) -> None:
        """Has the new one called, soon, elsewhere; never waits, never raises."""
        self._expire()
        with self._lock:
            if max(self._pending, self._left_behind) >= self._most:
                self.dropped += 1
                return
            self._pending += 1
        try:
            if in_thread:
                self._hand_out(_Errand(self, call, old))
            else:
                self._spawn(context_beside(), call, old)
        except Exception:
            self._ended()
            _log.exception("strangler %r: a comparison could not begin", self.name)

    def _hand_out(self, errand: _Errand) -> None:
        with self._lock:
            self._errands[errand] = None
        try:
            hand_out(errand)
        except BaseException:
            with self._lock:
                self._errands.pop(errand, None)
            raise

    def _spawn(self, context: Context, call: Call, old: Observation) -> None:
        home = current_home()
        assert home is not None, "an async call has just been awaited here"
        task: Task

        def ended() -> None:
            self._tasks.pop(task, None)
            self._ended()
            for place in self._ending:
                place.wake()

        task = home.spawn(partial(self._compare, call, old), context, ended)
        self._tasks[task] = home

    # -- the new side ---------------------------------------------------------------------------

    async def _compare(self, call: Call, old: Observation) -> None:
        watch = Stopwatch()
        try:
            value, error = await self._policy.run(partial(run, self._new, call, watch)), None
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) or (
                not isinstance(failure, Exception | SystemExit) and is_cancelled_from_outside()
            ):
                raise
            if self._skips(failure):
                return
            value, error = None, finding(failure)
        self.judge.judge(call, old, Observation(value, error, watch.seconds()))

    def compare_blocking(self, errand: _Errand) -> None:
        """In the errand's thread."""
        call = partial(self._in_time, errand)
        error: BaseException | None
        try:
            value, error = self._policy_in_thread.call(call), None
        except BaseException as failure:
            value, error = None, failure
        if not self.ends(errand) or (error is not None and self._skips(error)):
            return
        seen = Observation(value, None if error is None else finding(error), errand.watch.seconds())
        self.judge.judge(errand.call, errand.old, seen)

    def _in_time(self, errand: _Errand) -> Any:
        value = run_blocking(self._new, errand.call, errand.watch)
        if self._timeout is not None and errand.watch.seconds() > self._timeout:
            raise self._late()
        return value

    def _late(self) -> AttemptTimeout:
        return AttemptTimeout(f"strangler {self.name!r}: the new one took over {self._timeout:g} s")

    def _skips(self, failure: BaseException) -> bool:
        """Whether it was our own policy that refused; the candidate may call policies as well."""
        if not isinstance(failure, Rejected) or (
            getattr(failure, "policy", None) != self._policy.name
        ):
            return False
        with self._lock:
            self.skipped += 1
        count(self.name, "comparison_skipped")
        return True

    # -- too long -------------------------------------------------------------------------------

    def _expire(self) -> None:
        """Leaves behind the threads whose candidates have had their time."""
        if self._timeout is None or not self._errands:
            return
        late = perf_counter() - self._timeout
        while True:
            with self._lock:
                errand = next(iter(self._errands), None)
                if errand is None or errand.began > late:
                    return
                del self._errands[errand]
                self._left_behind += 1
                errand.is_left_behind = True
            count(self.name, "abandoned")
            seen = Observation(None, self._late(), perf_counter() - errand.began)
            self.judge.judge(errand.call, errand.old, seen)
            self._ended()

    def ends(self, errand: _Errand) -> bool:
        """Whether the errand's outcome is still asked for: once, and not after it was left."""
        with self._lock:
            return not errand.is_left_behind and self._errands.pop(errand, errand) is None

    def returned(self, errand: _Errand) -> None:
        """The errand's thread is free again."""
        with self._lock:
            self._errands.pop(errand, None)
            if errand.is_left_behind:
                self._left_behind -= 1
                return
        self._ended()

    # -- the end --------------------------------------------------------------------------------

    def _ended(self) -> None:
        """One comparison is over, however it ended."""
        with self._lock:
            self._pending -= 1
            if self._pending:
                return
            self._lock.notify_all()
            places, self._places = self._places, []
        for place in places:
            place.wake()

    def _next_look(self, until: float | None) -> float | None:
        """Seconds until there is something to see: the caller's own time, or the oldest one's."""
        with self._lock:
            oldest = next(iter(self._errands), None)
        moments = [] if until is None else [until]
        if oldest is not None and self._timeout is not None:
            moments.append(oldest.began + self._timeout)
        return max(0.0, min(moments) - perf_counter()) if moments else None

    def settle(self, timeout: float | None) -> bool:
        """Waits in a thread until nothing is pending; False if the time is up before."""
        until = None if timeout is None else perf_counter() + timeout
        while self.pending:
            if until is not None and perf_counter() >= until:
                return False
            look = self._next_look(until)
            with self._lock:
                self._lock.wait_for(lambda: not self._pending, look)
        return True

    async def asettle(self, timeout: float | None) -> bool:
        """The same on a loop."""
        until = None if timeout is None else perf_counter() + timeout
        while self.pending:
            if until is not None and perf_counter() >= until:
                return False
            place = current_hub().place()
            with self._lock:
                if not self._pending:
                    return True
                self._places.append(place)
            try:
                await place.wait(self._next_look(until))
            finally:
                with self._lock:
                    if place in self._places:
                        self._places.remove(place)
        return True

    async def end(self) -> None:
        """Cancels this loop's tasks that are under way, and waits for their end.

        Threads go on alone.
        """
        mine = [task for task, home in list(self._tasks.items()) if home.is_here]
        for task in mine:
            task.cancel()
        with anyio.CancelScope(shield=True):
            while any(task in self._tasks for task in mine):
                place = current_hub().place()
                self._ending.append(place)
                try:
                    await place.wait()
                finally:
                    self._ending.remove(place)


class _Errand:
    """One comparison in a thread."""

    __slots__ = ("_comparisons", "_context", "began", "call", "is_left_behind", "old", "watch")

    def __init__(self, comparisons: Comparisons, call: Call, old: Observation) -> None:
        self._comparisons = comparisons
        self._context = context_beside()
        self.call = call
        self.old = old
        self.watch = Stopwatch()
        self.began = perf_counter()
        self.is_left_behind = False

    def run(self) -> None:
        try:
            self._context.run(self._comparisons.compare_blocking, self)
        except BaseException:  # this thread is lent to others next
            _log.exception("a comparison of strangler %r ended early", self._comparisons.name)
        finally:
            self._comparisons.returned(self)
