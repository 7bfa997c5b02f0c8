"""One load for all who wait for it."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from penstock._deadline import unbounded_copy
from penstock._loops import Place, current_hub

from .lazy import asyncio_task

if TYPE_CHECKING:
    import asyncio

__all__ = ("AsyncFlight", "BlockingFlight", "GivenUp", "aboard_of")

_Landed = Callable[[Any, Any, BaseException | None], None]
"""Is told of the flight, its value, its error."""

aboard_of: contextvars.ContextVar[tuple[AsyncFlight, ...]] = contextvars.ContextVar(
    "penstock.resilience.aboard_of", default=()
)
"""The loads that what runs now is part of: waiting for one of them would never end."""

# A loop knows its tasks weakly; what runs for nobody in particular is held here until it ends.
_aloft: set[AsyncFlight] = set()


class GivenUp(Exception):
    """The last caller had gone when another came: that one begins a load of its own."""


class AsyncFlight:
    """A load in a task of its own. Callers of several loops and threads may wait for it."""

    def __init__(self, load: Callable[[], Coroutine[Any, Any, Any]], landed: _Landed) -> None:
        self._load = load
        self._landed = landed
        self._lock = threading.Lock()
        self._waiting: list[Place] = []
        self._aboard = 0
        self._is_over = False
        self._is_owned = True
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_given_up = False
        self._loop: Any = None
        self._cancel: Callable[[], None] | None = None

    @property
    def is_stranded(self) -> bool:
        """Whether its loop was closed under it."""
        return self._loop is not None and not self._is_over and self._loop.is_closed()

    def fail(self, error: BaseException) -> None:
        """It could not begin; whoever boarded is told."""
        self._end(None, error)

    def strand(self) -> None:
        """Nothing will come of it; what is left of its task may go."""
        _aloft.discard(self)

    def board(self) -> None:
        """One more caller wants the result."""
        with self._lock:
            self._aboard += 1

    def start(self, *, is_owned: bool) -> None:
        """Begins the load; with `is_owned` it is cancelled when the last caller has gone."""
        self._is_owned = is_owned
        _aloft.add(self)
        # It serves others too, so the first caller's deadline is not its own.
        context = unbounded_copy()
        context.run(aboard_of.set, (*aboard_of.get(), self))
        loop, task = asyncio_task()
        if task is None:
            self._cancel = _spawn_trio(self._fly, context)
            return
        self._loop = loop
        flying: asyncio.Task[None] = loop.create_task(self._fly(), context=context)
        flying.add_done_callback(self._look_at)

        def cancel() -> None:
            if asyncio_task()[0] is loop:
                flying.cancel()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(flying.cancel)

        self._cancel = cancel

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not self._is_over:  # cancelled before its first step
            self._end(None, sys.modules["asyncio"].CancelledError())
        if not task.cancelled():
            task.exception()  # it has been handed to whoever waited

    async def _fly(self) -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = await self._load()
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception):
                raise
        finally:
            self._end(value, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        try:
            self._landed(self, value, error)
        except Exception as raised:
            error = raised
        finally:
            with self._lock:
                self._value, self._error = value, error
                self._is_over = True
                waiting, self._waiting = self._waiting, []
            for place in waiting:
                place.wake()
            _aloft.discard(self)

    def _seat(self) -> Place | None:
        # Where to wait; None once there is nothing to wait for.
        place = current_hub().place()
        with self._lock:
            if self._is_over:
                return None
            self._waiting.append(place)
        return place

    async def land(self) -> Any:
        """Waits for the result; every caller who boarded calls it once."""
        try:
            while (place := self._seat()) is not None:
                await place.wait()
        finally:
            with self._lock:
                self._aboard -= 1
                is_empty = self._aboard == 0 and not self._is_over and self._is_owned
                self._is_given_up = self._is_given_up or is_empty
            if is_empty and self._cancel is not None:
                self._cancel()
        if self._error is None:
            return self._value
        if self._is_given_up and not isinstance(self._error, Exception):
            raise GivenUp
        raise self._error


class BlockingFlight:
    """A load in the thread that came first."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._over = threading.Event()
        self._value: Any = None
        self._error: Exception | None = None
        self._is_whole = False

    def fly(self, load: Callable[[], Any], landed: _Landed) -> Any:
        """Loads; whoever waits gets the same."""
        value: Any = None
        error: BaseException | None = None
        try:
            value = load()
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                landed(self, value, error)
            finally:
                if error is None or isinstance(error, Exception):
                    self._value, self._error, self._is_whole = value, error, True
                self._over.set()
        return value

    def land(self) -> tuple[bool, Any]:
        """Waits; (False, None) if the load was interrupted. Raises what it raised."""
        self._over.wait()
        if not self._is_whole:
            return False, None
        if self._error is not None:
            raise self._error
        return True, self._value


def _spawn_trio(
    fn: Callable[[], Coroutine[Any, Any, None]], context: contextvars.Context
) -> Callable[[], None]:
    trio: Any = sys.modules["trio"]
    scope = trio.CancelScope()

    async def task() -> None:
        with scope:
            await fn()

    trio.lowlevel.spawn_system_task(task, name="penstock", context=context)
    token = trio.lowlevel.current_trio_token()

    def cancel() -> None:
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            token.run_sync_soon(scope.cancel)
        else:
            scope.cancel()

    return cancel
