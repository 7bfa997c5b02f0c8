"""The loop that owns a bus: what comes there from elsewhere, and in which order.

Events from other threads and loops go through a bounded queue, and one task of the owner starts
them in order. So do, on the owner itself, those that nobody awaits while too many go on, and all of
them on trio, where nothing can be started from outside of a task in a known order. As long as such
an event waits, those that the owner emits and awaits queue up behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from penstock._loops import Place, current_hub
from penstock._native import Emission, Outcomes, Queue
from penstock.errors import Closed, Empty, Full, Misuse

from .depth import depth
from .errors import Dropped
from .line import Line
from .serial import waiting_for
from .waiting import Bell, ended, settled
from .within import take_mark

if TYPE_CHECKING:
    from .bus import EventBus

__all__ = ("Home", "here")

_LOOK_SECONDS = 1.0
"""How often a thread that waits looks whether the owner's loop is still there."""


def here() -> Any:
    """What runs the caller: an asyncio loop, a token of trio, or None for a plain thread."""
    trio: Any = sys.modules.get("trio")
    in_trio_task = getattr(getattr(trio, "lowlevel", None), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        return trio.lowlevel.current_trio_token()
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return None if running_loop is None else running_loop()


def _is_trio(where: Any) -> bool:
    return not hasattr(where, "call_soon_threadsafe")


def _is_running(where: Any) -> bool:
    if not _is_trio(where):
        return bool(where.is_running())
    try:
        where.run_sync_soon(_nothing)
    except sys.modules["trio"].RunFinishedError:
        return False
    return True


def _is_gone(where: Any) -> bool:
    """Whether it will never run again."""
    return not _is_running(where) if _is_trio(where) else bool(where.is_closed())


def _nothing() -> None:
    return None


class Sent:
    """An event on its way to the owner."""

    __slots__ = ("context", "emission", "is_withdrawn", "scope")

    def __init__(self, emission: Emission) -> None:
        self.emission = emission
        self.context: Context = copy_context()
        sniffio = sys.modules.get("sniffio")
        if sniffio is not None:
            # What anyio wrote there names the emitter's library, and not the owner's.
            self.context.run(sniffio.current_async_library_cvar.set, None)
        self.is_withdrawn = False
        self.scope: anyio.CancelScope | None = None

    def withdraw(self) -> None:
        """Ends it, whether it was begun or not; called on the owner's thread."""
        self.is_withdrawn = True
        self.emission.cancel()
        if self.scope is not None:
            self.scope.cancel()


class Home:
    """Where a bus is at home. Made anew each time that it is opened."""

    def __init__(self, bus: EventBus, limit: int, overflow: str) -> None:
        self.where: Any = None
        self.is_open = False
        self.dropped = 0
        self._bus = bus
        self._limit = limit
        self._overflow = overflow
        self._queue: Queue[Sent] = Queue(limit, name=f"{bus.name} events", fair=True)
        self._group: TaskGroup
        self._waiting_for_room: list[Place] = []
        self._line = Line()
        self._is_pumping = False
        self._is_closing = False
        self._waiting_here = 0
        """Emits of the owner that wait for room in the queue."""
        self._current: Sent | None = None
        """What the pump has taken and not begun."""

    # -- owning --------------------------------------------------------------------------------

    async def open(self) -> None:
        """The loop that runs the caller owns the bus from now on."""
        where = here()
        if self.is_open and not _is_gone(self.where):
            raise Misuse(f"{self._bus!r} is open already", hint="one `async with bus:` at a time")
        self._refuse_other(where)
        self._settle(where)
        group = anyio.create_task_group()
        await group.__aenter__()
        self._group = group
        self._queue = Queue(self._limit, name=f"{self._bus.name} events", fair=True)
        self._is_closing = False
        self.is_open = True
        self._is_pumping = True
        self._bus._set_owned(True, 0 if _is_trio(where) else self._limit)
        group.start_soon(self._pump)

    async def close(self, *, is_abrupt: bool) -> None:
        """Lets go of it, when what is under way has ended; abruptly, by ending it."""
        # Those elsewhere might go on for ever; what handlers emit here is begun yet.
        self._is_closing = True
        try:
            if not is_abrupt:
                await self.drain()
        except BaseException:
            is_abrupt = True
            raise
        finally:
            self.is_open = False
            self._queue.shutdown()
            if is_abrupt:
                self._end_all()
            try:
                await self._end(is_abrupt)
            finally:
                bus = self._bus
                bus._set_owned(False, 0)
                bus._set_congested(False)
                self._settle(None)

    async def _end(self, is_abrupt: bool) -> None:
        """Waits for what is under way, however often it is asked to end itself."""
        asked: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while self.is_pending():
                try:
                    await self.drain()
                except _asyncio_cancellation() as cancelled:
                    asked = cancelled
                    if not is_abrupt:
                        is_abrupt = True
                        self._end_all()
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        if asked is not None:
            raise asked

    def _end_all(self) -> None:
        while True:
            try:
                sent = self._queue.get_nowait()
            except (Empty, Closed):
                break
            sent.emission.fail(Closed(f"{self._bus!r} was closed before the event was begun"))
        for emission in list(self._bus._under_way):
            emission.cancel()
        if _is_trio(self.where):
            self._group.cancel_scope.cancel()

    async def drain(self) -> None:
        """Returns when nothing waits, and nothing goes on that nobody awaits."""
        while self.is_pending():
            await self._room()

    def is_pending(self) -> bool:
        """Whether something waits, or goes on that nobody awaits."""
        return bool(self.waiting or self._bus._under_way)

    @property
    def waiting(self) -> int:
        """Events that are not begun."""
        return self._queue.qsize() + (self._current is not None)

    @property
    def is_healthy(self) -> bool:
        return self.is_open and self._is_pumping

    def _settle(self, where: Any) -> None:
        self.where = where
        is_native = where is not None and not _is_trio(where)
        self._bus._set_home(where if is_native else None)

    def _refuse_other(self, where: Any) -> None:
        if self.where is not None and self.where is not where and _is_running(self.where):
            raise Misuse(
                f"{self._bus!r} is in use on another loop, which goes on",
                hint="open it on one of them, `async with bus:`; then any thread and loop may emit",
            )

    # -- emits that are awaited ----------------------------------------------------------------

    async def emit(self, emission: Emission) -> Outcomes:
        """Where native code cannot start the handlers by itself."""
        where = here()
        if where is None:
            raise Misuse(
                f"{self._bus!r}: no event loop runs here",
                hint="await inside asyncio, uvloop or trio; threads use bus.sync",
            )
        is_congested = self._bus._is_congested
        if self.where is not where or is_congested:
            if self.is_open and (self.where is where or not _is_gone(self.where)):
                return await self._send(emission)
            self._refuse_other(where)
            self._settle(where)
            # Until it is opened, or another loop comes: for this one alone.
            self._bus._set_owned(True, 0)
        if _is_trio(where):
            return await self._course(emission.key, emission.take(), is_awaited=True)
        outcomes = self._bus._start(emission, True)
        return await settled(emission, True) if outcomes is None else outcomes

    async def _send(self, emission: Emission) -> Outcomes:
        """Through the queue; cancelled, it ends the handlers over there, and waits for them."""
        sent = Sent(self._bus._emission(emission.key, emission.take()))
        is_at_home = self.where is here()
        if is_at_home:
            self._bus._set_congested(True)
        else:
            self._check_owner()
        if self._overflow == "block":
            self._waiting_here += is_at_home
            try:
                await self._queue.aput(sent)
            finally:
                self._waiting_here -= is_at_home
        else:
            self._offer(sent)
        try:
            with waiting_for(self._bus._find_route(emission.key)):
                await ended(sent.emission)
        except GeneratorExit:
            self._call(sent.withdraw)
            raise
        except BaseException:
            self._call(sent.withdraw)
            with anyio.CancelScope(shield=True):
                while not sent.emission.done():
                    with suppress(*_asyncio_cancellation()):
                        await ended(sent.emission)
            with suppress(Exception):
                sent.emission.outcomes()
            raise
        outcomes = sent.emission.outcomes()
        assert outcomes is not None
        return outcomes

    def _call(self, fn: Callable[[], None]) -> None:
        where = self.where
        if where is None:
            return
        with suppress(RuntimeError):  # it has ended, and so has what was sent
            call = where.run_sync_soon if _is_trio(where) else where.call_soon_threadsafe
            call(fn)

    # -- emits that are not ---------------------------------------------------------------------

    def emit_nowait(self, emission: Emission) -> None:
        """From any thread; on a loop it never blocks."""
        where = here()
        if not self.is_open:
            if where is None and self.where is None:
                self._call_here(emission)
                return
            raise Misuse(
                f"{self._bus!r} is not open, so nobody would wait for its handlers",
                hint="`async with bus:` around it, or `await bus.emit(...)`",
            )
        bus = self._bus
        is_at_home = where is self.where
        may_begin = is_at_home and not bus._is_congested and not _is_trio(where)
        if may_begin and len(bus._under_way) < self._limit:
            bus._start(emission, False)
            return
        # What is refused is refused here, and not where nobody hears of it.
        route = bus._find_route(emission.key)
        bus._registry.check(route, is_written=take_mark(emission.key, look=True))
        if is_at_home:
            bus._set_congested(True)
        else:
            self._check_owner()
        sent = Sent(emission)
        sent.context.run(depth.set, 0)  # it nests in nothing
        if where is None and self._overflow == "block":
            self._queue.put(sent)
        else:
            self._offer(sent)

    def emit_blocking(self, key: str | type, data: Any) -> Outcomes:
        """From a thread that runs no loop: waits for what came of it."""
        if here() is not None:
            raise Misuse(
                f"{self._bus!r}: a blocking emit on an event loop's thread would stop the loop",
                hint="`await bus.emit(...)` there; `.sync` is for threads",
            )
        bus = self._bus
        emission = bus._emission(key, data)
        if not self.is_open:
            if self.where is not None and _is_running(self.where):
                raise Misuse(
                    f"{bus!r} is in use on a loop, and is not open",
                    hint="open it there, `async with bus:`; then threads may emit",
                )
            if self.where is not None:
                self._settle(None)
                bus._set_owned(False, 0)
            self._call_here(emission)
        else:
            self._check_owner()
            sent = Sent(emission)
            if self._overflow == "block":
                self._queue.put(sent)
            else:
                self._offer(sent)
            bell = Bell()
            try:
                with waiting_for(bus._find_route(key)):
                    if emission.enlist(bell):
                        while not bell.wait(_LOOK_SECONDS):
                            self._check_gone()
            except BaseException:
                self._call(sent.withdraw)
                raise
        outcomes = emission.outcomes()
        assert outcomes is not None
        return outcomes

    def _call_here(self, emission: Emission) -> None:
        """On a bus that no loop owns: in this thread."""
        bus = self._bus
        route = bus._find_route(emission.key)
        if not route.is_plain:
            names = [each.label for each in route.handlers if not each.is_plain]
            raise Misuse(
                f"{bus!r}: {', '.join(names)} need a loop: async, or with a timeout, turns or "
                "middleware",
                hint="open the bus on a loop, `async with bus:`; then threads may emit",
            )
        if route.is_special:
            route = bus._select(route, True)
        emission.resolve(bus._call_all(emission.key, emission.take(), route))

    def _check_owner(self) -> None:
        """Raises Closed if the block is being left, or the owner's loop went without leaving it."""
        if self._is_closing:
            raise Closed(
                f"{self._bus!r} is being closed", hint="emit before its block, or service, ends"
            )
        self._check_gone()

    def _check_gone(self) -> None:
        where = self.where
        if where is not None and _is_gone(where):
            raise Closed(
                f"{self._bus!r}: the loop that owned it is gone",
                hint="leave the block, `async with bus:`, before its loop is closed",
            )

    def _offer(self, sent: Sent) -> None:
        """Into the queue, or not, as the overflow policy has it."""
        while True:
            try:
                self._queue.put_nowait(sent)
            except Full:
                if self._overflow == "drop_oldest":
                    with suppress(Empty):
                        self._drop(self._queue.get_nowait())
                    continue
                if self._overflow == "drop_newest":
                    self._drop(sent)
                    return
                raise Full(
                    f"{self._bus!r}: {self._limit} events wait",
                    hint="await bus.emit(...), a larger queue=, or overflow= that drops",
                ) from None
            return

    def _drop(self, sent: Sent) -> None:
        self.dropped += 1
        emission = sent.emission
        key, data = emission.key, emission.take()
        name = key.__qualname__ if isinstance(key, type) else key
        error = Dropped(f"{self._bus!r}: {name} was dropped, {self._limit} events waited")
        emission.fail(error)
        self._bus._lose(key, data)

    # -- the owner's task -----------------------------------------------------------------------

    async def _pump(self) -> None:
        try:
            while True:
                try:
                    self._current = sent = await self._queue.aget()
                except Closed:
                    return
                while len(self._bus._under_way) >= self._limit:
                    await self._room()
                await self._begin(sent)
                self._current = None
                del sent
                if self._queue.empty() and not self._waiting_here:
                    self._bus._set_congested(False)
                    self.has_room()
        except BaseException:
            if self._current is not None:
                self._current.emission.fail(
                    Closed(f"{self._bus!r} was closed before the event was begun")
                )
                self._current = None
            raise
        finally:
            self._is_pumping = False

    async def _begin(self, sent: Sent) -> None:
        if sent.is_withdrawn:
            sent.emission.fail(Closed("withdrawn"))
            return
        try:
            if _is_trio(self.where):
                await self._begin_on_trio(sent)
            else:
                sent.context.run(self._bus._start, sent.emission, False)
        except Exception as error:  # told to whoever awaits the emission
            sent.emission.fail(error)

    async def _begin_on_trio(self, sent: Sent) -> None:
        emission = sent.emission
        started = anyio.Event()
        self._bus._under_way.add(emission)

        async def run() -> None:
            try:
                with anyio.CancelScope() as sent.scope:
                    async with self._line.turn() as end:
                        course = sent.context.run(self._make_course, emission)
                        emission.resolve(await course.run(partial(_both, end, started.set)))
            except Exception as error:  # told to whoever awaits the emission
                emission.fail(error)
            finally:
                if not emission.done():
                    emission.fail(Closed(f"{self._bus!r} was closed, and the handlers cancelled"))
                self._bus._under_way.discard(emission)
                started.set()
                self.has_room()

        self._group.start_soon(run)
        await started.wait()

    def _make_course(self, emission: Emission) -> Any:
        from .trio_course import Course

        return Course(self._bus, emission.key, emission.take(), is_awaited=False)

    async def _course(self, key: str | type, data: Any, *, is_awaited: bool) -> Outcomes:
        from .trio_course import Course

        course = Course(self._bus, key, data, is_awaited=is_awaited)
        del data
        if depth.get():
            # Within a handler, as a call would be.
            return await course.run(_nothing)
        async with self._line.turn() as end:
            return await course.run(end)

    # -- room -----------------------------------------------------------------------------------

    async def _room(self) -> None:
        place = current_hub().place()
        self._waiting_for_room.append(place)
        try:
            await place.wait()
        finally:
            if place in self._waiting_for_room:
                self._waiting_for_room.remove(place)

    def has_room(self) -> None:
        """An emission has ended that nobody need await."""
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for place in waiting:
            place.wake()


def _asyncio_cancellation() -> tuple[type[BaseException], ...]:
    asyncio = sys.modules.get("asyncio")
    return () if asyncio is None else (asyncio.CancelledError,)


def _both(first: Callable[[], object], second: Callable[[], object]) -> None:
    first()
    second()
