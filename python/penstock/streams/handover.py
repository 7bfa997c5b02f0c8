"""Stand-in with the queue room's own names, until that room lands."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token

from penstock.errors import Closed

T = TypeVar("T")


class Queue(Generic[T]):
    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()
        self._shut = False
        self._bell = anyio.Event()
        self._token = current_token()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()

    def put(self, item: T) -> None:
        anyio.from_thread.run(self.aput, item, token=self._token)

    async def aput(self, item: T) -> None:
        await self.aput_many([item])

    async def aput_many(self, items: list[T]) -> None:
        done = 0
        while True:
            if self._shut:
                raise Closed("shut down")
            room = self._maxsize - len(self._items)
            if room > 0:
                self._items.extend(items[done : done + room])
                done += room
                self._ring()
            if done >= len(items):
                return
            await self._bell.wait()

    async def aget(self) -> T:
        return (await self.aget_many(1))[0]

    async def aget_many(self, max: int = 256) -> list[T]:
        while True:
            if self._items:
                out = [self._items.popleft() for _ in range(min(max, len(self._items)))]
                self._ring()
                return out
            if self._shut:
                raise Closed("shut down")
            await self._bell.wait()

    def qsize(self) -> int:
        return len(self._items)

    def shutdown(self, immediate: bool = False) -> None:
        try:
            anyio.get_current_task()
        except Exception:  # noqa: BLE001
            anyio.from_thread.run_sync(self._shutdown, immediate, token=self._token)
        else:
            self._shutdown(immediate)

    def _shutdown(self, immediate: bool) -> None:
        self._shut = True
        if immediate:
            self._items.clear()
        self._ring()
