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
import types
import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from penstock import _clock as clock

if TYPE_CHECKING:
    import asyncio

__all__ = ("Slot", "again", "asyncio_task", "enter_trio", "is_ours", "let_scopes_win", "within")

T = TypeVar("T")

FIRED = math.nan
"""Marks an entry whose task was asked to end; compared by identity."""


class Again:
    """Stands for a task that has an entry already, or had been asked to end before this one."""

    __slots__ = ("cancelling", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelling = task.cancelling()


def again(pending: dict[Any, float], task: asyncio.Task[Any], when: float) -> Again:
    """Another entry for a task; the plain one stays if it is that of a call around this one."""
    if pending[task] is when:
        del pending[task]
    key = Again(task)
    pending[key] = when
    return key


def is_ours(key: asyncio.Task[Any] | Again, error: BaseException) -> bool:
    """Takes back the request of a fired deadline; whether `error` is its doing, and only its."""
    if isinstance(key, Again):
        left = key.task.uncancel()
        before = key.cancelling
    else:
        left = key.uncancel()
        before = 0
    return left <= before and isinstance(error, sys.modules["asyncio"].CancelledError)


async def let_scopes_win() -> None:
    """Returns at once, unless an anyio scope around the task was cancelled in the same tick.

    Such a scope sees that the task is being woken by us, and asks it to end in the next turn. Its
    request, once it is here, says whose it is, which ours could not.
    """
    anyio = sys.modules.get("anyio")
    for _ in range(3):
        if anyio is None or anyio.current_effective_deadline() != -math.inf:
            return
        await _turn()


@types.coroutine
def _turn() -> Generator[None]:
    yield


class Watch:
    """The timer of one event loop."""

    __slots__ = ("__weakref__", "_alarm", "buckets", "loop", "next")

    def __init__(self, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        self.loop = loop
        self.next = math.inf
        self.buckets: weakref.WeakSet[Bucket] = weakref.WeakSet()
        self._alarm: Callable[[], _Alarm | None] = _nothing

    def wake_at(self, when: float) -> None:
        """Sets the timer to a moment before all others."""
        self.next = when
        virtual = clock.virtual
        if virtual is not None:
            virtual.call_at(when, self._fire_from_anywhere)
            return
        alarm = self._alarm()
        if alarm is not None:
            alarm.handle.cancel()
        loop = self.loop()
        if loop is not None:
            alarm = _Alarm(self)
            alarm.handle = loop.call_later(max(0.0, when - clock.now()), alarm)
            self._alarm = weakref.ref(alarm)

    def _fire_from_anywhere(self) -> None:
        loop = self.loop()
        if loop is None or loop.is_closed():
            return
        if sys.modules["asyncio"]._get_running_loop() is loop:  # noqa: SLF001
            self.fire()
        else:
            loop.call_soon_threadsafe(self.fire)

    def fire(self) -> None:
        """Ends what is due, the longest overdue first, and sets the timer for what is left."""
        self._alarm = _nothing
        now = clock.now()
        earliest = math.inf
        loop, running = asyncio_task()
        due: list[tuple[float, int, Bucket, Any]] = []
        for bucket in list(self.buckets):
            for key, when in bucket.pending.items():
                if when <= now:  # never true of FIRED
                    due.append((when, len(due), bucket, key))
                elif when < earliest:
                    earliest = when
        due.sort()
        for _, _, bucket, key in due:
            task = key.task if isinstance(key, Again) else key
            if task is running is not None:
                # It has moved a virtual clock itself. Asked to end now, it would be so at its next
                # pause, which may come long after the call; no real timer finds a task running.
                loop.call_soon(self.fire)
                continue
            bucket.pending[key] = FIRED
            task.cancel()
        self.next = math.inf
        if earliest < math.inf:
            self.wake_at(earliest)


class _Alarm:
    """The timer that is set. Its loop holds it, and not the watch, which would hold the loop."""

    __slots__ = ("__weakref__", "_watch", "handle")

    handle: asyncio.TimerHandle

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __call__(self) -> None:
        self._watch.fire()


def _nothing() -> None:
    return None


class Bucket:
    """What one strategy has pending in one event loop. Only that loop's thread touches it."""

    __slots__ = ("__weakref__", "loop", "pending", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.loop = watch.loop
        self.pending: dict[Any, float] = {}


class _NoBucket:
    loop = staticmethod(_nothing)


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
    key: Any = task
    if pending.setdefault(task, when) is not when or task.cancelling():
        key = again(pending, task, when)
    if when < bucket.watch.next:
        bucket.watch.wake_at(when)
    try:
        value = await fn()
    except BaseException as error:
        if pending.pop(key) is FIRED and is_ours(key, error):
            await let_scopes_win()
            raise exceeded() from error
        raise
    if pending.pop(key) is FIRED:
        task.uncancel()
    return value
