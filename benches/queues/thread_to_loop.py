"""Items from a plain thread into a task, one by one: a driver thread, a callback, a logger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from math import inf
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import Loop, kept
from benches.units import ITEMS

BOUND = 1024

Put = Callable[[int], Any]
Get = Callable[[], Awaitable[int]]
Ends = AbstractAsyncContextManager[tuple[Put, Get]]


def feed(put: Put, n: int) -> None:
    for item in range(n):
        put(item)


@contextmanager
def drained(loop: Loop, ends: Callable[[], Ends]) -> Iterator[Work]:
    """A thread puts n integers, a task of the loop takes them; a fresh queue for every lap."""

    async def lap(n: int) -> Lap:
        async with ends() as (put, get):
            thread = Thread(target=feed, args=(put, n))
            started = perf_counter_ns()
            thread.start()
            answer = [await get() for _ in range(n)]
            done = Lap.since(started, answer)
            thread.join()
            return done

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


@asynccontextmanager
async def penstock_ends() -> AsyncIterator[tuple[Put, Get]]:
    from penstock import Queue

    queue = Queue[int](maxsize=BOUND)
    yield queue.put, queue.aget


@asynccontextmanager
async def culsans_ends() -> AsyncIterator[tuple[Put, Get]]:
    import culsans

    queue = culsans.Queue[int](maxsize=BOUND)
    yield queue.sync_q.put, queue.async_q.get


@asynccontextmanager
async def janus_ends() -> AsyncIterator[tuple[Put, Get]]:
    import janus

    queue = janus.Queue[int](maxsize=BOUND)
    try:
        yield queue.sync_q.put, queue.async_q.get
    finally:
        await queue.aclose()


@asynccontextmanager
async def asyncio_ends() -> AsyncIterator[tuple[Put, Get]]:
    queue = asyncio.Queue[int]()
    call: Any = asyncio.get_running_loop().call_soon_threadsafe
    yield partial(call, queue.put_nowait), queue.get


@asynccontextmanager
async def trio_ends() -> AsyncIterator[tuple[Put, Get]]:
    import trio

    send, receive = trio.open_memory_channel[int](inf)
    call: Any = trio.lowlevel.current_trio_token().run_sync_soon
    with send, receive:
        yield partial(call, send.send_nowait), receive.receive


def contenders(loop: Loop) -> list[Contender]:
    """Those that run on the loop; janus and asyncio.Queue know nothing of trio."""
    found = [
        Contender(
            "penstock.Queue",
            f"`put` and `aget`, maxsize {BOUND}",
            partial(drained, loop, penstock_ends),
            "penstock",
        ),
        Contender(
            "culsans.Queue",
            f"`sync_q.put` and `async_q.get`, maxsize {BOUND}; checkpoints off, its default",
            partial(drained, loop, culsans_ends),
            "culsans",
        ),
    ]
    if loop == "trio":
        found.append(
            Contender(
                "trio memory channel",
                "`run_sync_soon(send_nowait)` and `receive`; unbounded, since the documented "
                "bounded form, `trio.from_thread.run(send)`, waits for a loop turn per item",
                partial(drained, loop, trio_ends),
                "trio",
            )
        )
        return found
    return [
        *found,
        Contender(
            "janus.Queue",
            f"`sync_q.put` and `async_q.get`, maxsize {BOUND}",
            partial(drained, loop, janus_ends),
            "janus",
        ),
        Contender(
            "asyncio.Queue",
            "`call_soon_threadsafe(put_nowait)` and `get`; unbounded, since with a bound every "
            "item needs a coroutine of its own, which is slower still",
            partial(drained, loop, asyncio_ends),
        ),
    ]


def in_order(n: int, answer: list[int]) -> bool:
    return answer == list(range(n))


TARGETS = (Target(3e6), Target(6, "culsans.Queue"))

CASES = tuple(
    Case(
        room="queues",
        name=f"thread-to-{loop}",
        question=f"How many items a second reach a task on {loop} from a thread, one by one?",
        contenders=contenders(loop),
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=TARGETS if loop == "trio" else (*TARGETS, Target(30, "janus.Queue")),
        shared=() if loop == "asyncio" else (loop,),
    )
    for loop in ("asyncio", "uvloop", "trio")
)
