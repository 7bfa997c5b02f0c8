"""Items from a task into a plain thread, one by one: what is written, sent or computed there."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import LOOPS, Loop, kept
from benches.queues.peers import BOUND, Ends, Open, in_order, joining, shared
from benches.units import ITEMS


@contextmanager
def taken(loop: Loop, open: Open) -> Iterator[Work]:
    """A task of the loop puts n integers, a thread takes them; a fresh queue for every lap."""

    async def lap(n: int) -> Lap:
        async with open() as (_, get, aput, _):
            return await timed(n, get, partial(send, aput, n))

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


async def send(aput: Callable[[int], Any], n: int) -> None:
    for item in range(n):
        await aput(item)


async def timed(n: int, get: Callable[[], int], sent: Callable[[], Any]) -> Lap:
    answer: list[int] = []

    def take() -> None:
        answer.extend([get() for _ in range(n)])

    thread = Thread(target=take)
    started = perf_counter_ns()
    thread.start()
    await sent()
    # Nothing is left for the loop to do.
    thread.join()
    return Lap.since(started, answer)


def off_loop(loop: Loop) -> Callable[..., Any]:
    """What the loop has for a call that may block."""
    if loop == "trio":
        import trio

        return trio.to_thread.run_sync
    return asyncio.to_thread


@asynccontextmanager
async def queue_ends(loop: Loop) -> AsyncIterator[Ends]:
    shared = queue.Queue[int](maxsize=BOUND)
    call = off_loop(loop)

    async def aput(item: int) -> None:
        try:
            shared.put_nowait(item)
        except queue.Full:
            await call(shared.put, item)

    yield Ends(get=shared.get, aput=aput)


@contextmanager
def simple_queue_taken(loop: Loop) -> Iterator[Work]:
    async def lap(n: int) -> Lap:
        shared = queue.SimpleQueue[int]()

        async def sent() -> None:
            for item in range(n):
                shared.put(item)

        return await timed(n, shared.get, sent)

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


def standard(loop: Loop) -> list[Contender]:
    by = "trio.to_thread.run_sync" if loop == "trio" else "asyncio.to_thread"
    return [
        Contender(
            "queue.Queue",
            f"`put_nowait`, and where it is full `{by}(put)`; `get`; maxsize {BOUND}",
            partial(taken, loop, partial(queue_ends, loop)),
        ),
        Contender(
            "queue.SimpleQueue",
            "`put` and `get`; it has no bound, so the task never waits and its loop never turns",
            partial(simple_queue_taken, loop),
        ),
    ]


CASES = tuple(
    Case(
        room="queues",
        name=f"{loop}-to-thread",
        question=f"How many items a second reach a thread from a task on {loop}, one by one?",
        contenders=[*joining(loop, taken, "aput", "get"), *standard(loop)],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(5, "queue.Queue"), Target(5, "culsans.Queue")],
        shared=shared(loop),
    )
    for loop in LOOPS
)
