"""What each contender has to show before and after it is timed: every handler hears the event.

A way to emit is a function of a list of handlers that returns what emits. It is asked twice: once
with handlers that add up the four numbers that they hear, before the lap and after it, and once
with handlers that do nothing, for the lap, so that the time is the dispatch's and not the sums'.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import replace
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

    def answer(self, n: int, count: int) -> int:
        """`n`, if each of `count` handlers has heard all four of the proof."""
        heard, self.total = self.total, 0
        return n if heard == 4 * count else heard


def idle_plain() -> Callable[[int], None]:
    """A handler that does nothing, and is a function of its own."""

    def handler(_number: int) -> None:
        pass

    return handler


def idle_quick() -> Callable[[int], Awaitable[None]]:
    """As `idle_plain`, async."""

    async def handler(_number: int) -> None:
        pass

    return handler


def idle_suspending() -> Callable[[int], Awaitable[None]]:
    """As `idle_quick`, and it suspends once."""
    from asyncio import sleep

    async def handler(_number: int) -> None:
        await sleep(0)

    return handler


Way = Callable[[list[Any]], tuple[Callable[..., Any], str | None]]


def blocking(name: str, settings: str, way: Way, count: int, package: str | None = "") -> Contender:
    """Emits of a thread, one after the other; `count` handlers."""

    def work(heard: Heard, proof: Callable[..., Any], emit: Any, event: str | None, n: int) -> Lap:
        first = () if event is None else (event,)
        for _ in range(3):
            proof(*first, 1)
        started = perf_counter_ns()
        if event is None:
            for _ in range(n):
                emit(0)
        else:
            for _ in range(n):
                emit(event, 0)
        lap = Lap.since(started, None)
        proof(*first, 1)
        return replace(lap, answer=heard.answer(n, count))

    @contextmanager
    def opened() -> Any:
        heard = Heard()
        proof, _ = way([heard.plain() for _ in range(count)])
        emit, event = way([idle_plain() for _ in range(count)])
        yield partial(work, heard, proof, emit, event)

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
        idle = idle_suspending if suspends else idle_quick
        with kept("asyncio") as run:

            async def made(handlers: list[Any]) -> Any:
                return way(handlers)  # in the loop, which some want to see

            await_one: Any = run
            proof, _ = await_one(partial(made, [make() for _ in range(count)]))
            emit, event = await_one(partial(made, [idle() for _ in range(count)]))

            async def lap(n: int) -> Lap:
                first = () if event is None else (event,)
                for _ in range(3):
                    await proof(*first, 1)
                started = perf_counter_ns()
                if event is None:
                    for _ in range(n):
                        await emit(0)
                else:
                    for _ in range(n):
                        await emit(event, 0)
                lap = Lap.since(started, None)
                await proof(*first, 1)
                return replace(lap, answer=heard.answer(n, count))

            yield lambda n: run(partial(lap, n))
            for each in (proof, emit):
                stop = getattr(each, "stop", None)
                if stop is not None:
                    await_one(stop)

    return Contender(name, settings, opened, name if package == "" else package)
