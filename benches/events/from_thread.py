"""Events of a thread, heard by an async function on the loop that owns the bus."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.units import EVENTS

__all__ = ("CASES",)


async def _run(n: int, emit: Callable[[int], object], seen: list[int]) -> Lap:
    seen.clear()
    done = asyncio.Event()
    want.clear()
    want.append((n, done))

    def thread() -> None:
        for number in range(n):
            emit(number)

    started = perf_counter_ns()
    worker = threading.Thread(target=thread)
    worker.start()
    await done.wait()
    lap = Lap.since(started, len(seen) if seen == list(range(n)) else None)
    worker.join()
    return lap


want: list[tuple[int, asyncio.Event]] = []


def _handler(seen: list[int]) -> Callable[[int], Any]:
    async def handler(number: int) -> None:
        seen.append(number)
        wanted, done = want[0]
        if len(seen) == wanted:
            done.set()

    return handler


@contextmanager
def penstock() -> Iterator[Work]:
    from penstock import EventBus

    seen: list[int] = []
    bus = EventBus("bench")
    bus.on("x", _handler(seen))
    with kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            async with bus:
                return await _run(n, partial(bus.emit_nowait, "x"), seen)

        yield lambda n: run(partial(lap, n))


@contextmanager
def call_soon() -> Iterator[Work]:
    seen: list[int] = []
    handler = _handler(seen)
    with kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            loop = asyncio.get_running_loop()
            tasks: set[asyncio.Task[None]] = set()

            def begin(number: int) -> None:
                task = loop.create_task(handler(number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            return await _run(n, partial(loop.call_soon_threadsafe, begin), seen)

        yield lambda n: run(partial(lap, n))


CASES = (
    Case(
        room="events",
        name="from_thread",
        question="How many events of a thread reach an async function on the loop, in order?",
        contenders=[
            Contender("penstock", "`emit_nowait`, 1,024 in the queue", penstock, "penstock"),
            Contender("call_soon_threadsafe", "a task each, nothing bounds them", call_soon),
        ],
        is_right=lambda n, answer: bool(answer == n),
        figures=[rate(EVENTS)],
        targets=[Target(100_000)],
    ),
)
