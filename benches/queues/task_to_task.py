"""Between two tasks of one loop, where no thread is involved and asyncio.Queue needs no lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import LOOPS, Loop, beside, kept
from benches.queues.peers import BOUND, Ends, Open, in_order, joining, shared
from benches.units import ITEMS


@contextmanager
def handed(loop: Loop, open: Open) -> Iterator[Work]:
    """One task puts n integers, another takes them; a fresh queue for every lap."""

    async def lap(n: int) -> Lap:
        async with open() as (_, _, put, get):

            async def produce() -> None:
                for item in range(n):
                    await put(item)

            started = perf_counter_ns()
            async with beside(loop, produce):
                answer = [await get() for _ in range(n)]
                return Lap.since(started, answer)

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


@asynccontextmanager
async def asyncio_ends() -> AsyncIterator[Ends]:
    queue = asyncio.Queue[int](maxsize=BOUND)
    yield Ends(aput=queue.put, aget=queue.get)


@asynccontextmanager
async def anyio_ends() -> AsyncIterator[Ends]:
    import anyio

    send, receive = anyio.create_memory_object_stream[int](max_buffer_size=BOUND)
    with send, receive:
        yield Ends(aput=send.send, aget=receive.receive)


@asynccontextmanager
async def trio_ends() -> AsyncIterator[Ends]:
    import trio

    send, receive = trio.open_memory_channel[int](BOUND)
    with send, receive:
        yield Ends(aput=send.send, aget=receive.receive)


def own(loop: Loop) -> list[Contender]:
    """What the loop's library has itself, and anyio's stream, which runs on each."""
    if loop == "trio":
        first = Contender(
            "trio memory channel",
            f"`send` and `receive`, max_buffer_size {BOUND}; each is a checkpoint",
            partial(handed, loop, trio_ends),
            "trio",
        )
    else:
        first = Contender(
            "asyncio.Queue",
            f"`put` and `get`, maxsize {BOUND}",
            partial(handed, loop, asyncio_ends),
        )
    stream = Contender(
        "anyio memory stream",
        f"`send` and `receive`, max_buffer_size {BOUND}; each is a checkpoint",
        partial(handed, loop, anyio_ends),
        "anyio",
    )
    return [first, stream]


CASES = tuple(
    Case(
        room="queues",
        # The row's name on asyncio is older than those of the other two.
        name="task-to-task" if loop == "asyncio" else f"task-to-task-{loop}",
        question=f"How many items a second pass between two tasks of one loop of {loop}?",
        contenders=[*joining(loop, handed, "aput", "aget"), *own(loop)],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[
            *([] if loop == "trio" else [Target(1.5, "asyncio.Queue")]),
            Target(15, "anyio memory stream"),
        ],
        shared=shared(loop),
    )
    for loop in LOOPS
)
