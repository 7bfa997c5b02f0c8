"""The event loop that owns a call: how other threads reach it, and how it runs something beside.

Work from a thread arrives by the loop's own thread-safe call; a task made here belongs to the loop
and goes with it: `asyncio.run` cancels it at its end, and so does trio when its main task is over.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from penstock.errors import Closed

if TYPE_CHECKING:
    import asyncio

__all__ = ("Home", "Make", "Task", "current_home")

Make: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Task(Protocol):
    """What runs beside; `cancel` is for the loop's own thread."""

    def cancel(self) -> object:
        """Has it end."""
        ...


class Home(Protocol):
    """A running event loop."""

    @property
    def is_closed(self) -> bool:
        """Whether what is posted will never be called."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in it."""
        ...

    def post(self, fn: Callable[[], object]) -> None:
        """Calls `fn` on the loop's thread, soon; from any thread. Raises Closed."""
        ...

    def spawn(
        self, make: Make, context: contextvars.Context | None, ended: Callable[[], object]
    ) -> Task:
        """Runs a coroutine as a task; on the loop's thread.

        `ended` is called at its end, also if it was cancelled before it began.
        """
        ...


def current_home() -> Home | None:
    """The loop that runs the caller; None outside of asyncio, uvloop and trio."""
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        return _TrioHome(sys.modules["trio"].lowlevel.current_trio_token())
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    loop = None if running_loop is None else running_loop()
    return None if loop is None else _AsyncioHome(loop)


class _AsyncioHome:
    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def is_closed(self) -> bool:
        return self._loop.is_closed()

    @property
    def is_here(self) -> bool:
        asyncio: Any = sys.modules["asyncio"]
        here: bool = asyncio._get_running_loop() is self._loop  # noqa: SLF001 - does not raise
        return here

    def post(self, fn: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(fn)
        except RuntimeError as error:
            raise _closed() from error

    def spawn(
        self, make: Make, context: contextvars.Context | None, ended: Callable[[], object]
    ) -> Task:
        task = self._loop.create_task(make(), context=context)
        # The loop itself holds a task only weakly.
        _tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            _tasks.discard(task)
            ended()

        task.add_done_callback(done)
        return task


_tasks: set[asyncio.Task[None]] = set()


class _TrioHome:
    __slots__ = ("_token",)

    def __init__(self, token: Any) -> None:
        self._token = token

    @property
    def is_closed(self) -> bool:
        try:
            self.post(_nothing)
        except Closed:
            return True
        return False

    @property
    def is_here(self) -> bool:
        lowlevel = sys.modules["trio"].lowlevel
        return bool(lowlevel.in_trio_task() and lowlevel.current_trio_token() is self._token)

    def post(self, fn: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(fn)
        except sys.modules["trio"].RunFinishedError as error:
            raise _closed() from error

    def spawn(
        self, make: Make, context: contextvars.Context | None, ended: Callable[[], object]
    ) -> Task:
        trio = sys.modules["trio"]
        scope = trio.CancelScope()

        async def run() -> None:
            try:
                with scope:
                    await make()
            finally:
                ended()

        trio.lowlevel.spawn_system_task(run, name="penstock adapters", context=context)
        return scope  # type: ignore[no-any-return]


def _nothing() -> None:
    pass


def _closed() -> Closed:
    return Closed(
        "the event loop that owns the call is closed", hint="call while it runs, or not at all"
    )
