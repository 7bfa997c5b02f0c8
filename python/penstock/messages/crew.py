"""How claimed messages find idle workers: one is called, and calls the next if there is more to do.

Calling a worker for each message would wake all of them for every batch, though the first few have
done it by then if their handlers do not wait. So a few are called, and each that takes a message
has others called while more are left than are coming: all are at work after some turns of the loop
if handlers wait, and the rest sleeps on if they do not.

For the tasks of one loop; nothing here is touched by other threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from penstock._loops import Place, current_hub

T = TypeVar("T")

_FOR_EACH = 8  # items, one worker is called at once
_TURN = 0.0001  # seconds that a task goes on with what is ready before its loop gets a turn


class Crew(Generic[T]):
    """Items that wait for a worker, and workers that wait for an item."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._idle: list[Place] = []
        self._called = 0
        """Workers on their way: woken, and not yet back."""
        self._turn = 0.0

    def give(self, items: Iterable[T]) -> None:
        """Hand over items, in order."""
        self._items.extend(items)
        self._call()

    def take_back(self) -> list[T]:
        """The items that no worker has taken."""
        left = list(self._items)
        self._items.clear()
        return left

    async def take(self) -> T:
        """The next item; waits for one. Cancelled, it has taken none."""
        if self._items and time.perf_counter() - self._turn > _TURN:
            await current_hub().checkpoint()
            self._turn = time.perf_counter()
        while not self._items:
            await self._wait()
            self._turn = time.perf_counter()
        item = self._items.popleft()
        self._call()
        return item

    async def _wait(self) -> None:
        place = current_hub().place()
        self._idle.append(place)
        try:
            await place.wait()
        except BaseException:
            if place in self._idle:
                self._idle.remove(place)
            else:
                # It was called, so somebody else has to come.
                self._called -= 1
                self._call()
            raise
        self._called -= 1

    def _call(self) -> None:
        wanted = -(-len(self._items) // _FOR_EACH)
        while self._called < wanted and self._idle:
            self._called += 1
            self._idle.pop().wake()
