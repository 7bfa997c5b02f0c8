"""The hand-over between two segments: a bounded queue, and why it ended."""

from __future__ import annotations

from typing import Any

from anyio.lowlevel import checkpoint

from penstock.errors import Closed
from penstock.queues import Queue

__all__ = ("Link",)

_AT_ONCE = 4096


class Link:
    """Any number of senders, one receiver; what was sent before the end is received before it."""

    __slots__ = ("_error", "_finished", "_queue")

    def __init__(self, max_items: int) -> None:
        self._queue: Queue[Any] = Queue(maxsize=max_items)
        self._finished = False
        self._error: BaseException | None = None

    async def send(self, items: list[Any]) -> None:
        """Put all items, waiting for room; raises `Closed` after the end."""
        await self._queue.aput_many(items)

    def finish(self, error: BaseException | None = None) -> None:
        """End the hand-over, in good order or with an error; only the first call counts."""
        if not self._finished:
            self._finished = True
            self._error = error
            self._queue.shutdown()

    async def receive(self, want: int) -> list[Any] | None:
        try:
            return await self._queue.aget_many(min(want, _AT_ONCE))
        except Closed:
            pass
        if self._error is not None:
            # A cancel that has ended the sender may be on its way to this task too: it goes first.
            await checkpoint()
            raise self._error
        return None

    def held(self) -> int:
        return self._queue.qsize()
