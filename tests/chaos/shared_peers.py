"""multiprocessing's queue in the same rounds: it does not survive them.

Whoever waits for an item holds its lock, and whoever dies with a lock takes it along; what a
producer has put lies in that process for a while, and dies with it.
"""

from __future__ import annotations

import random
from multiprocessing import get_context
from queue import Empty, Full
from typing import Any

from penstock.queues import QueueShutDown

FORK: Any = get_context("fork")
LOOK = 0.05
"""Seconds between two looks whether it was shut down, which this queue does not know of."""


class Multiprocessing:
    """What of the interface the rounds use, over a `multiprocessing.Queue`."""

    def __init__(self, dice: random.Random) -> None:
        self.queue = FORK.Queue(dice.choice([0, 1, 7, 64]))
        self.over = FORK.RawValue("b", 0)

    def put(self, item: Any, timeout: float | None = None) -> None:
        if self.over.value:
            raise QueueShutDown
        self.queue.put(item, timeout=timeout)

    def put_many(self, items: list[Any], timeout: float | None = None) -> None:
        for accepted, item in enumerate(items):
            try:
                self.put(item, timeout)
            except (Full, QueueShutDown) as refusal:
                refusal.accepted = accepted  # type: ignore[union-attr]
                raise

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while True:
            try:
                return self.queue.get(block, LOOK if timeout is None else timeout)
            except Empty:
                if self.over.value:
                    raise QueueShutDown from None
                if not block or timeout is not None:
                    raise

    def get_many(self, _max: int, timeout: float | None = None) -> list[Any]:
        return [self.get(timeout=timeout)]

    async def aput(self, item: Any, timeout: float | None = None) -> None:
        self.put(item, timeout)

    async def aget(self, timeout: float | None = None) -> Any:
        return self.get(timeout=timeout)

    async def aget_many(self, most: int, timeout: float | None = None) -> list[Any]:
        return self.get_many(most, timeout)

    def shutdown(self, immediate: bool = False) -> None:
        self.over.value = 1

    def close(self) -> None:
        self.queue.cancel_join_thread()
        self.queue.close()
