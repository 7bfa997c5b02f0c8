"""Blocking views of async objects, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio.from_thread
from anyio.from_thread import BlockingPortal

from ._loops import current_hub
from .errors import Closed, Misuse

__all__ = ("BlockingView",)

T = TypeVar("T")


class BlockingView:
    """What `.sync` is: a `with` block in which an async object is open on a loop of its own.

    The loop runs on a thread that lives as long as the block. Any thread may call; refused with
    Misuse on an event loop's thread. Ctrl-C ends a call as cancellation does.
    """

    def __init__(self, opened: AbstractAsyncContextManager[Any]) -> None:
        self._opened = opened
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._refuse_on_a_loop()
        with ExitStack() as stack:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self._opened))
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal = None
        self._stack.__exit__(kind, error, trace)

    def _wait(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Awaits `fn()` on the view's loop."""
        self._refuse_on_a_loop()
        if self._portal is None:
            hint = "use it inside a block: `with … .sync as view:`"
            raise Closed(f"{self._opened!r} is not open", hint=hint)

        async def run() -> T:
            return await fn()

        future = self._portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _refuse_on_a_loop(self) -> None:
        try:
            current_hub()
        except Misuse:
            return
        raise Misuse(
            "a blocking call on an event loop's thread would stop the loop",
            hint=f"use the {type(self._opened).__name__} itself there; `.sync` is for threads",
        )
