"""The task in which one part lives.

Each part has a task of its own, from its start to its end: it may hold task groups and cancel
scopes open meanwhile, and its failure is its own until the service hears of it. It ends in two
steps, each when it is asked to: it finishes what is under way, and stays open for those who need it
to do the same; then it closes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import anyio.abc

from .health import PartHealth, State
from .part import AnyPart, drain_of, hook_of, lifetime


class Host:
    """See the module's head."""

    def __init__(self, name: str, part: AnyPart) -> None:
        self.name = name
        self.part = part
        self.state = State.NEW
        self.failure: Exception | None = None
        self.was_cut = False
        """It was cancelled: its time to drain was up, or everything was to end at once."""
        self.fell = False
        """It came to its end by itself: nobody had asked it to leave."""
        self.is_telemetry = bool(getattr(part, "is_telemetry", False))
        self._lifetime = lifetime(part)
        self._stop_intake = hook_of(part, "stop_intake")
        self._drain = drain_of(part)
        self._health = hook_of(part, "health", is_async=False)
        self._watched = hook_of(part, "watch")
        self._deadline = math.inf
        self._scope: anyio.CancelScope
        self._leave: anyio.Event
        self._finished: anyio.Event
        self._close: anyio.Event
        self._over: anyio.Event

    async def run(
        self,
        on_fall: Callable[[Host], None],
        on_failure: Callable[[Host], None],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Start the part, keep it until it is to end or fails, end it.

        What its start raises is raised here; what it raises later is kept and told. That it falls
        is told at once, before its own end brings down what depends on it.
        """
        self._leave, self._finished = anyio.Event(), anyio.Event()
        self._close, self._over = anyio.Event(), anyio.Event()
        self._scope = anyio.CancelScope()
        self._on_fall, self._on_failure = on_fall, on_failure
        self.state = State.STARTING
        has_started = False
        try:
            with self._scope:
                async with self._lifetime:
                    self.state = State.RUNNING
                    has_started = True
                    task_status.started()
                    await self._stay()
                    self.state = State.DRAINING
                    await self._finish()
                    await self._close.wait()
        except Exception as error:
            if not has_started:
                self.failure, self.state = error, State.FAILED
                raise
            self._fail(error)
        finally:
            if self.state is not State.FAILED:
                self.state = State.FAILED if self.failure is not None else State.STOPPED
            self._finished.set()
            self._over.set()

    async def _stay(self) -> None:
        try:
            if self._watched is None:
                await self._leave.wait()
                return
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch, self._watched)
                await self._leave.wait()
                group.cancel_scope.cancel()
        except BaseException:
            # Cancelled from inside: a task group of its own has failed.
            if not self.was_cut:
                self._fall()
            raise

    async def _watch(self, watch: Callable[[], Awaitable[object]]) -> None:
        try:
            await watch()
        except Exception as error:
            self._fall()
            self._fail(error)

    async def _finish(self) -> None:
        if self._drain is not None:
            try:
                await _awaited(self._drain(self._deadline))
            except Exception as error:
                self._fail(error)
        self._finished.set()

    def _fall(self) -> None:
        if not self.fell:
            self.fell, self.state = True, State.DRAINING
            self._on_fall(self)

    def _fail(self, error: Exception) -> None:
        # The first failure is the cause, whatever it brings down with it.
        if self.failure is None:
            self.failure = error
            self._on_failure(self)

    def stop_intake(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Have it take nothing more from outside; what is to be called and awaited for that."""
        if self._stop_intake is None or self.state is not State.RUNNING:
            return None
        try:
            result = self._stop_intake()
        except Exception as error:
            self._fail(error)
            return None
        return partial(self._until_stopped, result) if inspect.isawaitable(result) else None

    async def _until_stopped(self, stopping: Awaitable[object]) -> None:
        try:
            await stopping
        except Exception as error:
            self._fail(error)

    async def finish(self, deadline: float) -> None:
        """Have it finish what is under way, and wait for that; it stays open."""
        self._deadline = deadline
        self._leave.set()
        await self._finished.wait()

    async def end(self, deadline: float) -> None:
        """Have it end, and cancel it at the deadline; at once if it hangs in what it was asked."""
        if self._finished.is_set() or not self._leave.is_set():
            if not self._leave.is_set():
                self._deadline = deadline
                self._leave.set()
            self._close.set()
            with anyio.CancelScope(deadline=deadline):
                await self._over.wait()
        if not self._over.is_set():
            await self.stop()

    async def stop(self) -> None:
        """End it at once, by cancelling it, and wait until it has ended."""
        self.cut()
        await self._over.wait()

    def cut(self) -> None:
        """Cancel it."""
        self.was_cut = True
        self._scope.cancel()

    def health(self) -> PartHealth:
        """What it says of itself."""
        if self.state is not State.RUNNING:
            detail = "it ended by itself" if self.fell else ""
            if self.failure is not None:
                detail = describe(self.failure)
            return PartHealth(self.name, self.state, is_healthy=False, detail=detail)
        if self._health is None:
            return PartHealth(self.name, self.state, is_healthy=True)
        try:
            return PartHealth(self.name, self.state, is_healthy=bool(self._health()))
        except Exception as error:
            return PartHealth(self.name, self.state, is_healthy=False, detail=describe(error))


async def _awaited(result: object) -> None:
    if inspect.isawaitable(result):
        await result


def describe(error: BaseException) -> str:
    """Type and text of an error; of a group, those of what is in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(part) for part in error.exceptions)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
