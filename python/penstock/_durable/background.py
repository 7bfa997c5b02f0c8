"""What runs beside the program until it is drained: a consumer, a relay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from penstock.errors import Misuse


class Background(ABC):
    """`async with part:` or `start()` and `drain()` for a Service; `run()` for a task of one's own.

    For one loop. Subclasses say what is opened, and what runs until `_is_draining`.
    """

    def __init__(self) -> None:
        self._is_draining = False
        self._is_running = False
        self._group: TaskGroup | None = None

    # -- of the subclass ---------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Open what is needed; each call is undone by one of `_close`. Both block."""

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    async def _run(self) -> None:
        """Work until cancelled, or until `_is_draining` and all is done. What it needs is open."""

    @abstractmethod
    def _wake(self) -> None:
        """Have `_run` look at `_is_draining`."""

    # -- lifetime ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin in the background; raises EngineError if a store cannot be used.

        The task that starts it has to `drain` it. If it ends by an error, that task is cancelled,
        and `drain` raises the error.
        """
        if self._group is not None:
            raise Misuse(f"{self!r} has been started", hint="start it once")
        if self._is_draining:
            raise Misuse(f"{self!r} has been drained", hint="make another one")
        await anyio.to_thread.run_sync(self._open)
        try:
            group = anyio.create_task_group()
            await group.__aenter__()
            self._group = group
            group.start_soon(self.run)
        except BaseException:
            await self._close_shielded()
            raise

    async def drain(self) -> None:
        """Begin nothing more, let what is under way end, give back the rest, and stop.

        Cancellation cancels what is under way as well. Raises what ended it, if it ended by itself.
        """
        self._is_draining = True
        self._wake()
        await self._end(None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            await self.drain()
            return False
        if self._group is not None:
            self._group.cancel_scope.cancel()
        return await self._end(error)

    async def _end(self, error: BaseException | None) -> bool:
        """Leave the task group; true if that was all the error was about."""
        group, self._group = self._group, None
        if group is None:
            return False
        try:
            trace = None if error is None else error.__traceback__
            handled = await group.__aexit__(None if error is None else type(error), error, trace)
            return bool(handled)
        except BaseExceptionGroup as several:
            # A group of one is no help to whoever reads it.
            if len(several.exceptions) > 1:
                raise
            if several.exceptions[0] is error:
                return False
            raise several.exceptions[0] from None
        finally:
            await self._close_shielded()

    async def _close_shielded(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    async def run(self) -> None:
        """Work until cancelled, or until `drain()` has been called and all is done."""
        if self._is_running:
            raise Misuse(f"{self!r} runs already", hint="make another one for more")
        self._is_running = True
        await anyio.to_thread.run_sync(self._open)
        try:
            await self._run()
        finally:
            self._is_running = False
            await self._close_shielded()
