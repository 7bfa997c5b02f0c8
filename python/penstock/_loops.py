"""How a task sleeps, and how a thread wakes it: one hub per event loop.

The hub is made when a task of the loop first sleeps. It owns one eventfd, watched by one
persistent reader (asyncio, uvloop) or one system task (trio), which all objects of the loop
share. It goes before the loop does; a loop that is closed without being shut down takes it along.

    place = current_hub().place()
    ...                              # hand `place` to whoever will wake it
    woken = await place.wait()       # cancellable; False after a timeout
    place.wake()                     # any thread, any number of times, never raises

Neither asyncio nor trio is imported here: who runs in one of them has done that.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import types
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from ._native import Hub, Place
from .errors import Misuse

if TYPE_CHECKING:
    import asyncio

__all__ = ("Hub", "Place", "current_hub")

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def current_hub() -> Hub:
    """The hub of the event loop that runs the caller.

    Raises Misuse outside of asyncio, uvloop and trio. Call it anew for each sleep rather than
    keep it: a loop may outlive its hub.
    """
    # Trio first: in guest mode asyncio's loop runs on the same thread, but not the caller.
    # Either module may be half imported by another thread; then nobody runs in it yet.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        return _trio_hub()
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    loop = None if running_loop is None else running_loop()
    if loop is None:
        raise Misuse(
            "no event loop runs here",
            hint="await inside asyncio, uvloop or trio; threads use the blocking twin",
        )
    hub = _hubs.get(loop)
    if hub is None:
        hub = _make_asyncio_hub(loop)
    return hub


# asyncio and uvloop


class _Reader:
    """The loop's reader. The loop lets go of it when it closes, and that ends the hub."""

    def __init__(self, hub: Hub, lifeline: AsyncGenerator[None] | None) -> None:
        self.hub = hub
        self.lifeline = lifeline

    def __call__(self) -> None:
        self.hub.answer()

    def __del__(self) -> None:
        self.hub.close()


def _make_asyncio_hub(loop: asyncio.AbstractEventLoop) -> Hub:
    # What lives as long as the loop must not hold it: the hub knows it weakly.
    reference = weakref.ref(loop)
    hub = Hub(
        sleep=_sleep_asyncio,
        checkpoint=_turn,
        resume=_resume_asyncio,
        resume_late=partial(_resume_late, reference),
    )
    with _making:
        _hubs[loop] = hub
    if getattr(loop, "_asyncgens_shutdown_called", False):
        # Nobody would end a reader made now, so the loop is called without one.
        hub.close()
        return hub
    lifeline = _lifeline(reference, hub)
    # The first step registers the generator with the loop, which ends it before it closes.
    with contextlib.suppress(StopIteration):
        lifeline.asend(None).send(None)
    loop.add_reader(hub.fileno(), _Reader(hub, lifeline))
    return hub


async def _lifeline(
    reference: weakref.ref[asyncio.AbstractEventLoop], hub: Hub
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        loop = reference()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(hub.fileno())
        hub.close()


@types.coroutine
def _turn() -> Generator[None]:
    yield


async def _sleep_asyncio(place: Place, timeout: float | None) -> bool:
    loop = sys.modules["asyncio"].get_running_loop()
    future = loop.create_future()
    if not place.arm(future):
        return True
    timer = None if timeout is None else loop.call_later(timeout, _expire, future)
    try:
        woken: bool = await future
    finally:
        if timer is not None:
            timer.cancel()
        place.disarm()
    return woken


def _expire(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)


def _resume_asyncio(future: asyncio.Future[bool]) -> bool:
    loop = future.get_loop()
    if loop is not sys.modules["asyncio"]._get_running_loop():  # noqa: SLF001
        return False
    if not future.done():
        future.set_result(True)
    return True


def _resume_late(
    reference: weakref.ref[asyncio.AbstractEventLoop], callback: Callable[[], None]
) -> bool:
    loop = reference()
    if loop is None or loop.is_closed():
        return False
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # closed meanwhile
        return False
    return True


# trio


def _trio_hub() -> Hub:
    variable = _trio_variable()
    hub: Hub | None = variable.get(None)
    if hub is None:
        trio = sys.modules["trio"]
        hub = Hub(
            sleep=_sleep_trio,
            checkpoint=trio.lowlevel.checkpoint,
            resume=_resume_trio,
            resume_late=_never,
        )
        variable.set(hub)
        trio.lowlevel.spawn_system_task(_attend, hub, name="penstock hub")
    return hub


_variables: list[Any] = []


def _trio_variable() -> Any:
    with _making:
        if not _variables:
            _variables.append(sys.modules["trio"].lowlevel.RunVar("penstock hub"))
    return _variables[0]


async def _attend(hub: Hub) -> None:
    wait_readable: Callable[[int], Awaitable[None]] = sys.modules["trio"].lowlevel.wait_readable
    try:
        while True:
            await wait_readable(hub.fileno())
            hub.answer()
    finally:
        hub.close()


async def _sleep_trio(place: Place, timeout: float | None) -> bool:
    trio = sys.modules["trio"]
    if not place.arm(trio.lowlevel.current_task()):
        return True

    def abort(_raise_cancel: object) -> Any:
        place.disarm()
        return trio.lowlevel.Abort.SUCCEEDED

    if timeout is None:
        await trio.lowlevel.wait_task_rescheduled(abort)
        return True
    expiry: BaseException | None = None
    try:
        with trio.move_on_after(timeout) as scope:
            try:
                await trio.lowlevel.wait_task_rescheduled(abort)
            except trio.Cancelled as cancelled:
                expiry = cancelled
                raise
        if expiry is not None:
            # trio's loop holds it for longer, and its traceback would keep the frames of all who
            # await this: an item or a place that they let go of would live on.
            expiry.__traceback__ = None
    finally:
        del expiry
    return not scope.cancelled_caught


def _resume_trio(task: Any) -> bool:
    sys.modules["trio"].lowlevel.reschedule(task)
    return True


def _never(_callback: Callable[[], None]) -> bool:
    return False
