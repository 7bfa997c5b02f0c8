"""What each contender has to show before and after it is timed: every handler hears the event.

A way to emit is a function of a list of handlers that returns what emits. Handlers add up the
numbers that they hear: those of three emits before the lap, and of its last one. In between they
hear zeros, so that the time is the dispatch's and not that of the sums.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap
from benches.loops import kept

__all__ = ("Heard", "awaited", "blocking")


class Heard:
    """Makes handlers that add up what they hear; of the nothings of a timed lap, nothing."""

    def __init__(self) -> None:
        self.total = 0

    def plain(self) -> Callable[[int], int]:
        def handler(number: int) -> int:
            if number:
                self.total += number
            return number

        return handler

    def quick(self) -> Callable[[int], Awaitable[int]]:
        async def handler(number: int) -> int:
            if number:
                self.total += number
            return number

        return handler

    def suspending(self) -> Callable[[int], Awaitable[int]]:
        from asyncio import sleep

        async def handler(number: int) -> int:
            await sleep(0)
            if number:
                self.total += number
            return number

        return handler

    def answer(self, n: int, count: int) -> int:
        """`n`, if each of `count` handlers has heard the three of the proof and the last."""
        heard, self.total = self.total, 0
        return n if heard == 4 * count else heard


Way = Callable[[list[Any]], tuple[Callable[..., Any], str | None]]


def blocking(name: str, settings: str, way: Way, count: int, package: str | None = "") -> Contender:
    """Emits of a thread, one after the other; `count` handlers."""

    def work(heard: Heard, emit: Callable[..., Any], event: str | None, n: int) -> Lap:
        first = () if event is None else (event,)
        for _ in range(3):
            emit(*first, 1)
        started = perf_counter_ns()
        if event is None:
            for _ in range(n - 1):
                emit(0)
        else:
            for _ in range(n - 1):
                emit(event, 0)
        emit(*first, 1)
        return Lap.since(started, heard.answer(n, count))

    @contextmanager
    def opened() -> Any:
        heard = Heard()
        emit, event = way([heard.plain() for _ in range(count)])
        yield partial(work, heard, emit, event)

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

    @contextmanager
    def opened() -> Any:
        heard = Heard()
        make = heard.suspending if suspends else heard.quick
        handlers = [make() for _ in range(count)]
        with kept("asyncio") as run:

            async def made() -> Any:
                return way(handlers)  # in the loop, which some want to see

            await_one: Any = run
            emit, event = await_one(made)

            async def lap(n: int) -> Lap:
                first = () if event is None else (event,)
                for _ in range(3):
                    await emit(*first, 1)
                started = perf_counter_ns()
                if event is None:
                    for _ in range(n - 1):
                        await emit(0)
                else:
                    for _ in range(n - 1):
                        await emit(event, 0)
                await emit(*first, 1)
                return Lap.since(started, heard.answer(n, count))

            yield lambda n: run(partial(lap, n))
            stop = getattr(emit, "stop", None)
            if stop is not None:
                await_one(stop)

    return Contender(name, settings, opened, name if package == "" else package)
