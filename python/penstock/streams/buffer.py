"""Hand-overs by which a pipeline goes on in another task: `buffer` and `batch(within=…)`."""

from __future__ import annotations

from typing import Any

import anyio

from .drive import drive, left
from .link import Link
from .step import Head, Step

__all__ = ("Buffer", "TimedBatch")


class Buffer(Head):
    """The stages before run ahead, by at most `max_items` and the list in their hands."""

    def __init__(self, name: str, upstream: Step, max_items: int) -> None:
        super().__init__(name, upstream)
        self._upstream = upstream
        self._max_items = max_items
        self._link = Link(max_items)

    async def feed(self) -> None:
        await drive(self._upstream, self._max_items, self._deliver, self._link.finish)

    async def pull(self, want: int) -> list[Any] | None:
        self.occupation.waiting = "upstream"
        try:
            items = await self._link.receive(want)
        finally:
            self.occupation.waiting = None
        return items if items is None else self._emit(items)

    async def close(self) -> None:
        self._link.finish(left(self))

    def buffered(self) -> int:
        return self._link.held()

    async def _deliver(self, items: list[Any]) -> None:
        self.tally.items_in += len(items)
        await self._link.send(items)


class TimedBatch(Head):
    """Lists of `size` items, or of what has come `within` seconds after the list's first."""

    def __init__(self, name: str, upstream: Step, size: int, within: float) -> None:
        super().__init__(name, upstream)
        self._upstream = upstream
        self._size = size
        self._within = within
        self._link = Link(size)
        self._held: list[Any] = []
        self._due = 0.0
        self._ended = False

    async def feed(self) -> None:
        await drive(self._upstream, self._size, self._deliver, self._link.finish)

    async def pull(self, want: int) -> list[Any] | None:  # noqa: ARG002
        if self._ended:
            return None
        self.occupation.waiting = "upstream"
        try:
            if not await self._fill():
                self._ended = True
        finally:
            self.occupation.waiting = None
        if not self._held:
            return None if self._ended else []
        full = len(self._held) >= self._size or self._ended
        if not full and anyio.current_time() < self._due:
            return []
        batch, self._held = self._held, []
        return self._emit([batch])

    async def _fill(self) -> bool:
        """Receive once, as long as the unfinished batch may wait; False at the end."""
        if self._held and not self._link.held():
            with anyio.CancelScope(deadline=self._due):
                return self._add(await self._link.receive(self._size - len(self._held)))
            return True
        first = not self._held
        more = self._add(await self._link.receive(self._size - len(self._held)))
        if first:
            self._due = anyio.current_time() + self._within
        return more

    def _add(self, items: list[Any] | None) -> bool:
        self._held += items or ()
        return items is not None

    async def close(self) -> None:
        self._link.finish(left(self))

    def buffered(self) -> int:
        return self._link.held() + len(self._held)

    async def _deliver(self, items: list[Any]) -> None:
        self.tally.items_in += len(items)
        await self._link.send(items)
