"""The task in which one part lives.

Each part has a task of its own, from its start to its end: it may hold task groups and cancel
scopes open meanwhile, and its failure is its own until the service hears of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from .health import PartHealth, State
from .part import AnyPart, lifetime


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
        self._lifetime = lifetime(part)
        self._scope: anyio.CancelScope
        self._leave: anyio.Event
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
        self._leave, self._over, self._scope = anyio.Event(), anyio.Event(), anyio.CancelScope()
        self._on_fall = on_fall
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
        except Exception as error:
            if not has_started:
                self.failure, self.state = error, State.FAILED
                raise
            self._fail(error)
        finally:
            if self.state is not State.FAILED:
                self.state = State.FAILED if self.failure is not None else State.STOPPED
            self._over.set()
            if self.failure is not None and has_started:
                on_failure(self)

    async def _stay(self) -> None:
        try:
            await self._stay_until_asked()
        except BaseException:
            # Cancelled from inside: a task group of its own has failed.
            if not self.was_cut:
                self._fall()
            raise

    async def _stay_until_asked(self) -> None:
        watch = getattr(self.part, "watch", None)
        if watch is None:
            await self._leave.wait()
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, watch)
            await self._leave.wait()
            group.cancel_scope.cancel()

    async def _watch(self, watch: Callable[[], Awaitable[object]]) -> None:
        try:
            await watch()
        except Exception as error:
            self._fall()
            self._fail(error)
            self._leave.set()

    def _fall(self) -> None:
        if not self.fell:
            self.fell, self.state = True, State.DRAINING
            self._on_fall(self)

    def _fail(self, error: Exception) -> None:
        # The first failure is the cause, whatever it brings down with it.
        if self.failure is None:
            self.failure = error

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def drain(self, deadline: float) -> None:
        """Let it finish until `deadline`, then stop it."""
        self._leave.set()
        with anyio.CancelScope(deadline=deadline):
            await self._over.wait()
        if not self.is_over:
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
        health = getattr(self.part, "health", None)
        if health is None:
            return PartHealth(self.name, self.state, is_healthy=True)
        try:
            return PartHealth(self.name, self.state, is_healthy=bool(health()))
        except Exception as error:
            return PartHealth(self.name, self.state, is_healthy=False, detail=describe(error))


def describe(error: BaseException) -> str:
    """Type and text of an error; of a group, those of what is in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(part) for part in error.exceptions)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
