"""Integers through three stages: map, filter, map; in one task, and each stage in its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.units import Unit

RECORDS = Unit("records/s", more_is_better=True)
BUFFER = 1024


def doubled(record: int) -> int:
    return record * 2


def wanted(record: int) -> bool:
    return record % 10 != 0


def shifted(record: int) -> int:
    return record + 7


def all_three(n: int, answer: list[int]) -> bool:
    return answer == [2 * record + 7 for record in range(n) if 2 * record % 10 != 0]


@contextmanager
def timed(flow: Callable[[int], Awaitable[list[int]]]) -> Iterator[Work]:
    """A coroutine that gives what n records become, on a kept asyncio loop."""

    async def lap(n: int) -> Lap:
        started = perf_counter_ns()
        answer = await flow(n)
        return Lap.since(started, answer)

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


async def penstock_fused(n: int) -> list[int]:
    from penstock import Stream

    return await Stream.from_iterable(range(n)).map(doubled).filter(wanted).map(shifted).collect()


async def penstock_concurrent(n: int) -> list[int]:
    from penstock import Stream

    stream = Stream.from_iterable(range(n)).map(doubled).buffer(BUFFER)
    return await stream.filter(wanted).buffer(BUFFER).map(shifted).collect()


async def _doubling(records: Iterable[int]) -> AsyncIterator[int]:
    for record in records:
        yield record * 2


async def _filtering(records: AsyncIterator[int]) -> AsyncIterator[int]:
    async for record in records:
        if record % 10 != 0:
            yield record


async def _shifting(records: AsyncIterator[int]) -> AsyncIterator[int]:
    async for record in records:
        yield record + 7


async def generators(n: int) -> list[int]:
    return [record async for record in _shifting(_filtering(_doubling(range(n))))]


async def builtins(n: int) -> list[int]:
    return list(map(shifted, filter(wanted, map(doubled, range(n)))))


END = object()


async def queue_stages(n: int) -> list[int]:
    first: asyncio.Queue[Any] = asyncio.Queue(BUFFER)
    second: asyncio.Queue[Any] = asyncio.Queue(BUFFER)

    async def doubling() -> None:
        for record in range(n):
            await first.put(doubled(record))
        await first.put(END)

    async def filtering() -> None:
        while (record := await first.get()) is not END:
            if wanted(record):
                await second.put(record)
        await second.put(END)

    answer: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(doubling())
        tasks.create_task(filtering())
        while (record := await second.get()) is not END:
            answer.append(shifted(record))
    return answer


async def anyio_stages(n: int) -> list[int]:
    import anyio

    first_in, first_out = anyio.create_memory_object_stream[int](BUFFER)
    second_in, second_out = anyio.create_memory_object_stream[int](BUFFER)

    async def doubling() -> None:
        async with first_in:
            for record in range(n):
                await first_in.send(doubled(record))

    async def filtering() -> None:
        async with first_out, second_in:
            async for record in first_out:
                if wanted(record):
                    await second_in.send(record)

    answer: list[int] = []
    async with anyio.create_task_group() as tasks, second_out:
        tasks.start_soon(doubling)
        tasks.start_soon(filtering)
        answer.extend([shifted(record) async for record in second_out])
    return answer


async def aiostream_stages(n: int) -> list[int]:
    from aiostream import pipe, stream

    map_: Any = pipe.map  # its type asks for functions of any number of arguments
    flow = stream.iterate(range(n)) | map_(doubled) | pipe.filter(wanted) | map_(shifted)
    answer: list[int] = await (flow | pipe.list())
    return answer


CASES = (
    Case(
        room="streams",
        name="stages-one-task",
        question="How many integers a second pass three stages in one task?",
        contenders=[
            Contender(
                "penstock.Stream",
                "`from_iterable(...).map.filter.map.collect()`",
                partial(timed, penstock_fused),
                "penstock",
            ),
            Contender(
                "async generators",
                "three `async def` generators by hand, their work written inline",
                partial(timed, generators),
            ),
            Contender(
                "map and filter",
                "the built-ins, one inside the other; no loop, no backpressure, no cancellation",
                partial(timed, builtins),
            ),
        ],
        is_right=all_three,
        figures=[rate(RECORDS)],
        targets=[Target(1.2, "async generators")],
    ),
    Case(
        room="streams",
        name="stages-concurrent",
        question="How many integers a second pass three stages that run beside each other?",
        contenders=[
            Contender(
                "penstock.Stream",
                f"`buffer({BUFFER})` between the stages",
                partial(timed, penstock_concurrent),
                "penstock",
            ),
            Contender(
                "asyncio.Queue",
                f"a task for each stage, queues of {BUFFER} between them",
                partial(timed, queue_stages),
            ),
            Contender(
                "aiostream",
                "`pipe.map`, `pipe.filter`, `pipe.map` with plain functions, `pipe.list`",
                partial(timed, aiostream_stages),
                "aiostream",
            ),
            Contender(
                "anyio memory streams",
                f"a task for each stage, streams of {BUFFER} between them",
                partial(timed, anyio_stages),
                "anyio",
            ),
        ],
        is_right=all_three,
        figures=[rate(RECORDS)],
        targets=[
            Target(5, "asyncio.Queue"),
            Target(20, "aiostream"),
            Target(100, "anyio memory streams"),
        ],
    ),
)
