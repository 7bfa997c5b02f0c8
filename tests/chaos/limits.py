"""The ways in which the time of an awaited operation can run out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import anyio

from penstock.queues import QueueEmpty, QueueFull

Operate = Callable[[float | None], Awaitable[None]]

WAYS: tuple[str, ...] = ("own", "own", "move_on_after", "timeout", "wait_for")
"""A timeout of the queue's own, twice as often as each of those around it."""


class Limit:
    """At most so many seconds, by the queue itself or by one of those around it."""

    def __init__(self, way: str = "none", seconds: float | None = None) -> None:
        self.way = way
        self.seconds = seconds

    async def run(self, operate: Operate) -> bool:
        """Whether the operation came to its end; `operate` is given a timeout of its own."""
        way, seconds = self.way, self.seconds
        if way == "move_on_after":
            with anyio.move_on_after(seconds):
                await operate(None)
                return True
            return False
        try:
            if way == "timeout":
                async with asyncio.timeout(seconds):
                    await operate(None)
            elif way == "wait_for":
                await asyncio.wait_for(operate(None), seconds)
            else:
                await operate(seconds if way == "own" else None)
        except (TimeoutError, QueueEmpty, QueueFull):
            return False
        return True


def choose(rng: random.Random, ways: tuple[str, ...]) -> Limit:
    """Mostly none; else one that is about as long as a tick, or is over before it begins."""
    if rng.random() > 0.2:
        return Limit()
    native = asyncio._get_running_loop() is not None
    known = [way for way in ways if native or way not in {"timeout", "wait_for"}]
    return Limit(rng.choice(known), rng.choice((0.0, 0.0002, 0.0002)) * rng.random())
