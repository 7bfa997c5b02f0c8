"""Deadlines that cost a dictionary entry each: one loop timer for all that are pending.

Arming is an entry `task → moment` in a dict, disarming takes it out. The loop's one timer is set
anew only when a moment comes before all that it knows; when it fires, whatever has passed is
cancelled and the timer is set to the earliest moment left. So a call that ends in time touches no
timer at all, and a loop with nothing pending has none. (`asyncio.timeout` costs 4 µs, most of it
for making and cancelling a timer.)

A fired deadline is told from a cancellation from outside as `asyncio.timeout` does it, by counting:
the task's count of cancel requests is 0 when a deadline is armed (or remembered, in `Again`), and
if it is still above that after our own request is taken back, somebody else wants the task to end.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from penstock import _clock as clock

if TYPE_CHECKING:
    import asyncio

__all__ = ("Again", "Slot", "asyncio_task", "enter_trio", "is_ours", "within")

T = TypeVar("T")

FIRED = math.nan
"""Marks an entry whose task was asked to end; compared by identity."""


class Again:
    """Stands for a task that has an entry already, or had been asked to end before this one."""

    __slots__ = ("cancelling", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelling = task.cancelling()


def is_ours(key: asyncio.Task[Any] | Again, error: BaseException) -> bool:
    """Takes back the request of a fired deadline; whether `error` is its doing, and only its."""
    if isinstance(key, Again):
        left = key.task.uncancel()
        before = key.cancelling
    else:
        left = key.uncancel()
        before = 0
    return left <= before and isinstance(error, sys.modules["asyncio"].CancelledError)


class Watch:
    """The timer of one event loop."""

    __slots__ = ("__weakref__", "_handle", "buckets", "loop", "next")

    def __init__(self, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        self.loop = loop
        self.next = math.inf
        self.buckets: weakref.WeakSet[Bucket] = weakref.WeakSet()
        self._handle: asyncio.TimerHandle | None = None

    def wake_at(self, when: float) -> None:
        """Sets the timer to a moment before all others."""
        self.next = when
        virtual = clock.virtual
        if virtual is not None:
            virtual.call_at(when, self._fire_from_anywhere)
            return
        if self._handle is not None:
            self._handle.cancel()
        loop = self.loop()
        if loop is not None:
            self._handle = loop.call_later(max(0.0, when - clock.now()), self._fire)

    def _fire_from_anywhere(self) -> None:
        loop = self.loop()
        if loop is None or loop.is_closed():
            return
        if sys.modules["asyncio"]._get_running_loop() is loop:  # noqa: SLF001
            self._fire()
        else:
            loop.call_soon_threadsafe(self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = clock.now()
        earliest = math.inf
        for bucket in list(self.buckets):
            pending = bucket.pending
            due = []
            for key, when in pending.items():
                if when <= now:  # never true of FIRED
                    due.append(key)
                elif when < earliest:
                    earliest = when
            for key in due:
                pending[key] = FIRED
                bucket.expire(key)
        self.next = math.inf
        if earliest < math.inf:
            self.wake_at(earliest)


class Bucket:
    """What one strategy has pending in one event loop. Only that loop's thread touches it."""

    __slots__ = ("__weakref__", "loop", "pending", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.loop = watch.loop
        self.pending: dict[Any, float] = {}

    def expire(self, key: Any) -> None:
        """Ends whoever is behind an entry that has fired."""
        (key.task if isinstance(key, Again) else key).cancel()


def _no_loop() -> None:
    return None


class _NoBucket:
    loop = staticmethod(_no_loop)


_watches: weakref.WeakValueDictionary[int, Watch] = weakref.WeakValueDictionary()


class Slot:
    """One strategy's way to its bucket: that of the loop that asked last is at hand."""

    __slots__ = ("__weakref__", "_buckets", "bucket")

    def __init__(self) -> None:
        self.bucket: Any = _NoBucket
        self._buckets: dict[int, Bucket] = {}
        clock.at_change(self)

    def find(self, loop: asyncio.AbstractEventLoop) -> Bucket:
        """The bucket of `loop`, made on first use."""
        bucket = self._buckets.get(id(loop))
        if bucket is None or bucket.loop() is not loop:
            # The numbers of loops that are gone are free for others.
            gone = [number for number, each in self._buckets.items() if each.loop() is None]
            for number in gone:
                self._buckets.pop(number, None)
            watch = _watches.get(id(loop))
            if watch is None or watch.loop() is not loop:
                watch = _watches[id(loop)] = Watch(weakref.ref(loop))
            bucket = self._buckets[id(loop)] = Bucket(watch)
            watch.buckets.add(bucket)
        self.bucket = bucket
        return bucket

    def reset(self) -> None:
        """Another clock is in force: its moments are none of the old timers' business."""
        self.bucket = _NoBucket
        self._buckets = {}
        _watches.clear()


def asyncio_task() -> tuple[Any, asyncio.Task[Any] | None]:
    """Running loop and task of asyncio or uvloop; no task in trio, also in its guest mode."""
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001
    if asyncio is None or loop is None:
        return None, None
    return loop, asyncio.current_task(loop)


def enter_trio(when: float) -> Any:
    """A cancel scope that ends at `when` on our clock; the caller enters it."""
    import trio

    virtual = clock.virtual
    if virtual is None:
        return trio.CancelScope(deadline=trio.current_time() + when - clock.now())
    scope = trio.CancelScope()
    if when <= virtual.now():
        scope.cancel()
    else:
        virtual.call_at(when, scope.cancel)
    return scope


async def within(
    slot: Slot, when: float, exceeded: Callable[[], Exception], fn: Callable[[], Awaitable[T]]
) -> T:
    """Awaits `fn()`, and raises what `exceeded` makes if that has not ended by `when`."""
    loop, task = asyncio_task()
    if task is None:
        with enter_trio(when):
            return await fn()
        raise exceeded()
    bucket = slot.bucket
    if bucket.loop() is not loop:
        bucket = slot.find(loop)
    pending = bucket.pending
    key = Again(task) if task in pending or task.cancelling() else task
    pending[key] = when
    if when < bucket.watch.next:
        bucket.watch.wake_at(when)
    try:
        value = await fn()
    except BaseException as error:
        if pending.pop(key) is FIRED and is_ours(key, error):
            raise exceeded() from error
        raise
    if pending.pop(key) is FIRED:
        task.uncancel()
    return value
