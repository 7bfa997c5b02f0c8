"""Between two tasks of one loop, where no thread is involved and asyncio.Queue needs no lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.queues.thread_to_loop import BOUND, in_order
from benches.units import ITEMS

Ends = tuple[Callable[[int], Awaitable[Any]], Callable[[], Awaitable[int]]]


@contextmanager
def handed(ends: Callable[[], Ends]) -> Iterator[Work]:
    async def lap(n: int) -> Lap:
        put, get = ends()

        async def produce() -> None:
            for item in range(n):
                await put(item)

        started = perf_counter_ns()
        producer = asyncio.create_task(produce())
        answer = [await get() for _ in range(n)]
        done = Lap.since(started, answer)
        await producer
        return done

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


def penstock_ends() -> Ends:
    from penstock import Queue

    queue = Queue[int](maxsize=BOUND)
    return queue.aput, queue.aget


def asyncio_ends() -> Ends:
    queue = asyncio.Queue[int](maxsize=BOUND)
    return queue.put, queue.get


@contextmanager
def anyio_handed() -> Iterator[Work]:
    import anyio

    streams: list[Any] = []

    def ends() -> Ends:
        streams[:] = anyio.create_memory_object_stream[int](max_buffer_size=BOUND)
        return streams[0].send, streams[1].receive

    with handed(ends) as work:

        def closing(n: int) -> Lap:
            try:
                return work(n)
            finally:
                for stream in streams:
                    stream.close()

        yield closing


CASES = (
    Case(
        room="queues",
        name="task-to-task",
        question="How many items a second pass between two tasks of one asyncio loop?",
        contenders=[
            Contender(
                "penstock.Queue",
                f"`aput` and `aget`, maxsize {BOUND}",
                partial(handed, penstock_ends),
                "penstock",
            ),
            Contender(
                "asyncio.Queue",
                f"`put` and `get`, maxsize {BOUND}",
                partial(handed, asyncio_ends),
            ),
            Contender(
                "anyio memory stream",
                f"`send` and `receive`, max_buffer_size {BOUND}",
                anyio_handed,
                "anyio",
            ),
        ],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(1.5, "asyncio.Queue"), Target(15, "anyio memory stream")],
    ),
)
