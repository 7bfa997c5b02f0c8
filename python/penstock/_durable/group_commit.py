"""Group commit: one writer thread per store; what gathers during a commit shares the next one.

Guarantees:
- Acknowledged means committed: a caller is woken after the commit of its own write, not before.
- A caller that is cancelled before the writer took its write has written nothing; afterwards the
  write stands and its result is dropped.
- What waits is bounded (`max_pending`), and so is a flush, in writes and bytes. There is no timer:
  an idle writer flushes a lone write at once.
- One wake for each event loop and flush: the places of one loop share its hub's bell.

What a flush does with the writes is the engine's: see `Session`.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import anyio

from penstock import metrics
from penstock._loops import Place, current_hub
from penstock.errors import Closed, Misuse
from penstock.queues import Queue, QueueEmpty, QueueFull, QueueShutDown

from .leases import Lease
from .writes import Kind, Write

R = TypeVar("R")

EVERY_COMMIT = "every commit"
"""The topic of those who listen to whatever is committed through this writer."""

_WATCH_SOON = 0.002
_WATCH_LATE = 0.05

_sizes = metrics.histogram(
    "penstock_flush_writes", "writes that shared a commit", labels=("store",)
)
_times = metrics.histogram(
    "penstock_flush_seconds", "from the first write of a flush to its commit", labels=("store",)
)
_waits = metrics.histogram(
    "penstock_flush_wait_seconds", "from handing over a write to its flush", labels=("store",)
)


class Session(Protocol):
    """The engine's side: all of it is called on the writer's thread."""

    is_shared: bool
    """Whether other processes may write there, too."""

    def open(self) -> None: ...
    def flush(self, writes: list[Write[Any]]) -> None:
        """Give every write its result or its error; what has a result is committed."""

    def has_changed(self) -> bool:
        """Whether another process has committed since the last call."""

    def close(self) -> None: ...


class GroupCommit:
    """The writer of one store. Any thread and any number of event loops may hand writes to it."""

    def __init__(
        self,
        name: str,
        session: Session,
        *,
        max_writes: int = 1024,
        max_bytes: int = 8 << 20,
        max_pending: int = 4096,
    ) -> None:
        self.name = name
        self._session = session
        self._max_writes = max_writes
        self._max_bytes = max_bytes
        self._queue: Queue[Write[Any]] = Queue(max_pending, name=f"writes to {name}")
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._leases: tuple[Lease, ...] = ()
        self._listeners: dict[str, tuple[Callable[[], object], ...]] = {}
        self._watch_pause = _WATCH_SOON
        self._thread = threading.Thread(
            target=self._work, name=f"penstock writer of {name}", daemon=True
        )
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._sizes = _sizes.bind(store=name)
        self._times = _times.bind(store=name)
        self._waits = _waits.bind(store=name)

    # -- lifetime ----------------------------------------------------------------------------

    def start(self) -> None:
        """Open the store on a thread of its own; raises what opening it raised."""
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        _running.add(self)

    def stop(self) -> None:
        """Commit what was handed over, then end the thread. Blocks; idempotent."""
        if self._pid != os.getpid():
            return
        self._queue.shutdown()
        self._thread.join()
        _running.discard(self)

    # -- callers -----------------------------------------------------------------------------

    async def run(self, write: Write[R], *, stands: bool = False) -> R:
        """Hand over `write` and wait for its commit. Waits for room while too much is pending.

        With `stands`, a write that was handed over is never withdrawn, whatever becomes of the
        caller.
        """
        place = self._prepared(write)
        try:
            await self._hand_over(write)
            await place.wait()
        except BaseException:
            if not stands:
                self._withdraw(write)
            raise
        return write.outcome()

    async def run_to_end(self, write: Write[R]) -> R:
        """As `run`, but waiting on for what was handed over, also when it is cancelled.

        The cancellation is raised when the write is done; it can then be asked how it ended.
        """
        place = self._prepared(write)
        await self._hand_over(write)
        interruption = None
        try:
            await place.wait()
        except GeneratorExit:
            raise  # The coroutine is dropped, and may not wait any more.
        except BaseException as error:  # noqa: BLE001 (raised below)
            interruption = error
            # Only now: a scope around every wait would cost more than the wait.
            with anyio.CancelScope(shield=True):
                await self._wait_out(write)
        if interruption is not None:
            raise interruption
        return write.outcome()

    async def _wait_out(self, write: Write[Any]) -> None:
        """Wait again, whatever happens: asyncio's own `Task.cancel` heeds no shield."""
        while True:
            # A place is slept on once. Who sets the sleeper looks at `is_done` afterwards, the
            # writer does so the other way round: one of them sees the other.
            write.sleeper = place = current_hub().place()
            if write.is_done:
                return
            try:
                await place.wait()
            except GeneratorExit:
                raise
            except BaseException:  # noqa: BLE001, S112 (the first one is raised when it is done)
                continue

    def _prepared(self, write: Write[Any]) -> Place:
        self._check()
        write.sleeper = place = current_hub().place()
        write.submitted = time.perf_counter()
        return place

    async def _hand_over(self, write: Write[Any]) -> None:
        try:
            try:
                self._queue.put_nowait(write)
            except QueueFull:
                await self._queue.aput(write)
        except QueueShutDown:
            raise self._closed() from None

    def call(self, write: Write[R]) -> R:
        """As `run`, blocking the thread; refused where an event loop runs."""
        self._check()
        _refuse_on_a_loop(self.name)
        sleeper = _Thread()
        write.sleeper = sleeper
        write.submitted = time.perf_counter()
        try:
            self._queue.put(write)
            sleeper.wait()
        except QueueShutDown:
            raise self._closed() from None
        except BaseException:
            self._withdraw(write)
            raise
        return write.outcome()

    def _withdraw(self, write: Write[Any]) -> None:
        with self._lock:
            if not write.taken:
                write.withdrawn = True

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise Misuse(
                f"store {self.name} was opened by process {self._pid}, before the fork",
                hint="open it in the forked child, after the fork",
            )

    def _closed(self) -> Closed:
        return Closed(f"store {self.name} is closed", hint="use it inside its `with` block")

    # -- leases and listeners ----------------------------------------------------------------

    def keep(self, lease: Lease) -> None:
        """Renew `lease` from now on, as long as its holder makes progress."""
        with self._lock:
            self._leases = (*self._leases, lease)

    def forget(self, lease: Lease) -> None:
        with self._lock:
            self._leases = tuple(each for each in self._leases if each is not lease)

    def listen(self, topic: str, callback: Callable[[], object]) -> None:
        """Call `callback` on the writer's thread after commits that may concern `topic`."""
        with self._lock:
            self._listeners[topic] = (*self._listeners.get(topic, ()), callback)
        # The writer may be asleep without a time to look at what other processes do.
        self._nudge()

    def unlisten(self, topic: str, callback: Callable[[], object]) -> None:
        with self._lock:
            rest = tuple(each for each in self._listeners.get(topic, ()) if each != callback)
            if rest:
                self._listeners[topic] = rest
            else:
                self._listeners.pop(topic, None)

    def _nudge(self) -> None:
        write: Write[Any] = Write(_NOTHING, None)
        write.withdrawn = True
        with suppress(QueueFull, QueueShutDown):  # It is awake, or over.
            self._queue.put_nowait(write)

    # -- the writer's thread -----------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._session.open()
        except BaseException as error:  # noqa: BLE001 (raised again where it was started)
            self._failure = error
            return
        finally:
            self._opened.set()
        try:
            rest: list[Write[Any]] = []
            while True:
                try:
                    batch = rest or self._gather()
                except QueueShutDown:
                    break
                writes, rest = self._take(batch)
                writes += self._renewals()
                if writes:
                    self._flush(writes)
                self._look_around()
        finally:
            self._session.close()

    def _gather(self) -> list[Write[Any]]:
        pause = self._pause()
        try:
            return self._queue.get_many(
                self._max_writes, timeout=None if pause is None else max(0.0, pause)
            )
        except QueueEmpty:
            return []

    def _pause(self) -> float | None:
        """How long the writer may sleep without anything to write."""
        now = time.monotonic()
        times = [due - now for lease in self._leases if (due := lease.due()) is not None]
        if self._listeners and self._session.is_shared:
            times.append(self._watch_pause)
        return min(times, default=None)

    def _take(self, batch: list[Write[Any]]) -> tuple[list[Write[Any]], list[Write[Any]]]:
        """As much of the batch as a flush may hold, and the rest."""
        size = 0
        taken: list[Write[Any]] = []
        with self._lock:
            for number, write in enumerate(batch):
                if write.withdrawn:
                    continue
                size += write.size
                if taken and size > self._max_bytes:
                    return taken, batch[number:]
                write.taken = True
                taken.append(write)
        return taken, []

    def _renewals(self) -> list[Write[Any]]:
        now = time.monotonic()
        writes = []
        for lease in self._leases:
            due = lease.due()
            if due is not None and due <= now:
                write = lease.renewal()
                if write is not None:
                    write.submitted = time.perf_counter()
                    writes.append(write)
        return writes

    def _flush(self, writes: list[Write[Any]]) -> None:
        began = time.perf_counter()
        try:
            self._session.flush(writes)
        except BaseException as error:  # noqa: BLE001 (nobody may be left waiting)
            for write in writes:
                write.error = error
        self._sizes.record(len(writes))
        self._times.record(time.perf_counter() - began)
        self._waits.record(began - min(write.submitted for write in writes))
        topics = {write.topic for write in writes if write.topic and write.error is None}
        if EVERY_COMMIT in self._listeners and any(
            write.error is None and not write.kind.reads for write in writes
        ):
            topics.add(EVERY_COMMIT)
        if topics:
            self._watch_pause = _WATCH_SOON
            for topic in topics:
                self._tell(topic)  # Before the callers, who may ask listeners what they have heard.
        for write in writes:
            write.is_done = True
            if write.sleeper is not None:
                write.sleeper.wake()

    def _look_around(self) -> None:
        """See whether another process has written something that concerns our listeners."""
        if not self._listeners or not self._session.is_shared:
            return
        try:
            changed = self._session.has_changed()
        except Exception:  # noqa: BLE001 (the next flush meets it and has somebody to tell)
            changed = False
        if changed:
            self._watch_pause = _WATCH_SOON
            for topic in list(self._listeners):
                self._tell(topic)
        else:
            self._watch_pause = min(_WATCH_LATE, self._watch_pause * 2)

    def _tell(self, topic: str) -> None:
        for callback in self._listeners.get(topic, ()):
            callback()


class _Thread:
    """A thread that waits for its commit; Ctrl-C ends the wait."""

    __slots__ = ("wait", "wake")

    def __init__(self) -> None:
        event = threading.Event()
        self.wake = event.set
        self.wait = event.wait


def _run_nothing(_session: object, _now: float, arguments: Any) -> list[None]:
    return [None] * len(arguments)


_NOTHING: Kind[None, None] = Kind("nothing", _run_nothing)


def _refuse_on_a_loop(name: str) -> None:
    try:
        current_hub()
    except Misuse:
        return
    raise Misuse(
        f"store {name}: a blocking call on an event loop's thread would stop the loop",
        hint="await the async form there; `.sync` is for threads",
    )


def _stop_all() -> None:
    for writer in list(_running):
        writer.stop()


_running: weakref.WeakSet[GroupCommit] = weakref.WeakSet()
# A program that forgets to close its store still commits what it has handed over.
atexit.register(_stop_all)
