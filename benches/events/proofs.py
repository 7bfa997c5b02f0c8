"""What each contender has to show before it is timed: every handler hears the event.

A way to emit is a function of a list of handlers that returns a function of data. What it is called
with is added up by the handlers themselves, so that none can be left out unseen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap
from benches.loops import kept

__all__ = ("Heard", "awaited", "blocking")


class Heard:
    """Counts what its handlers hear."""

    def __init__(self) -> None:
        self.total = 0

    def plain(self) -> Callable[[int], int]:
        def handler(number: int) -> int:
            self.total += number
            return number

        return handler

    def quick(self) -> Callable[[int], Awaitable[int]]:
        async def handler(number: int) -> int:
            self.total += number
            return number

        return handler

    def suspending(self) -> Callable[[int], Awaitable[int]]:
        from asyncio import sleep

        async def handler(number: int) -> int:
            await sleep(0)
            self.total += number
            return number

        return handler


Way = Callable[[list[Any]], Callable[[int], Any]]


def blocking(name: str, settings: str, way: Way, count: int, package: str | None = "") -> Contender:
    """Emits of a thread, one after the other; `count` handlers."""

    def work(heard: Heard, emit: Callable[[int], Any], n: int) -> Lap:
        heard.total = 0
        started = perf_counter_ns()
        for _ in range(n):
            emit(1)
        return Lap.since(started, heard.total / count)

    from contextlib import contextmanager

    @contextmanager
    def opened() -> Any:
        heard = Heard()
        emit = way([heard.plain() for _ in range(count)])
        yield partial(work, heard, emit)

    return Contender(name, settings, opened, name if package == "" else package)


def awaited(
    name: str,
    settings: str,
    way: Way,
    count: int,
    package: str | None = "",
    *,
    suspends: bool = False,
) -> Contender:
    """Emits that are awaited in one task of an asyncio loop."""
    from contextlib import contextmanager

    @contextmanager
    def opened() -> Any:
        heard = Heard()
        make = heard.suspending if suspends else heard.quick
        handlers = [make() for _ in range(count)]
        with kept("asyncio") as run:

            async def made() -> Any:
                return way(handlers)  # in the loop, which some want to see

            await_one: Any = run
            emit = await_one(made)

            async def lap(n: int) -> Lap:
                heard.total = 0
                started = perf_counter_ns()
                for _ in range(n):
                    await emit(1)
                return Lap.since(started, heard.total / count)

            yield lambda n: run(partial(lap, n))

    return Contender(name, settings, opened, name if package == "" else package)
