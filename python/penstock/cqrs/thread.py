"""A thread of one's own for what blocks, whose work is never left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import anyio
import anyio.lowlevel

from penstock._loops import current_hub
from penstock.errors import Closed

__all__ = ("Lane",)

R = TypeVar("R")


class Lane:
    """Calls functions one after the other on one thread, for callers on any event loop.

    A cancellation waits for the call under way, and is raised then: whoever rolls back afterwards
    does not do it beside a statement that still runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._is_closed = False

    async def run(self, fn: Callable[[], R]) -> R:
        """Call `fn` on the thread, in the caller's context variables."""
        if self._is_closed:
            raise Closed(f"the thread {self._name} has ended", hint="nothing runs on it any more")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        place = current_hub().place()
        future = self._executor.submit(copy_context().run, fn)
        future.add_done_callback(lambda _: place.wake())
        interrupted: BaseException | None = None
        # Against scopes of anyio and trio; a task's own cancel() comes through, and is kept.
        with anyio.CancelScope(shield=True):
            while not future.done():
                try:
                    await place.wait()
                except BaseException as error:  # noqa: BLE001 - raised below
                    interrupted = error
                    place = current_hub().place()
                    future.add_done_callback(lambda _, place=place: place.wake())  # type: ignore[misc]
        try:
            result = future.result()
        except BaseException as error:
            if interrupted is None:
                raise
            raise interrupted from error
        if interrupted is not None:
            raise interrupted
        return result

    def close(self) -> None:
        """End the thread, once what it has been given is done. Blocks until then."""
        self._is_closed = True
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
