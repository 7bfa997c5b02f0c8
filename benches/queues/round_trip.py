"""From a task to a thread and back: two wakeups, which no data structure makes cheaper."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from time import perf_counter_ns
from typing import Any, NamedTuple

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.loops import kept
from benches.queues.thread_to_loop import BOUND, in_order


class Wires(NamedTuple):
    """Two queues: the task's put, the thread's get and put, the task's get."""

    send: Callable[[int], Awaitable[Any]]
    thread_get: Callable[[], int]
    thread_put: Callable[[int], Any]
    receive: Callable[[], Awaitable[int]]


@contextmanager
def echoed(wires: Callable[[], AbstractAsyncContextManager[Wires]]) -> Iterator[Work]:
    async def lap(n: int) -> Lap:
        async with wires() as (send, thread_get, thread_put, receive):

            def echo() -> None:
                for _ in range(n):
                    thread_put(thread_get())

            thread = Thread(target=echo)
            thread.start()
            answer: list[int] = []
            samples: list[int] = []
            started = perf_counter_ns()
            for item in range(n):
                sent = perf_counter_ns()
                await send(item)
                answer.append(await receive())
                samples.append(perf_counter_ns() - sent)
            done = Lap.since(started, answer, samples)
            thread.join()
            return done

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


@asynccontextmanager
async def penstock_wires() -> AsyncIterator[Wires]:
    from penstock import Queue

    there, back = Queue[int](maxsize=BOUND), Queue[int](maxsize=BOUND)
    yield Wires(there.aput, there.get, back.put, back.aget)


@asynccontextmanager
async def aiologic_wires() -> AsyncIterator[Wires]:
    import aiologic

    there, back = aiologic.SimpleQueue[int](), aiologic.SimpleQueue[int]()
    yield Wires(there.async_put, there.green_get, back.green_put, back.async_get)


@asynccontextmanager
async def culsans_wires() -> AsyncIterator[Wires]:
    import culsans

    there, back = culsans.Queue[int](maxsize=BOUND), culsans.Queue[int](maxsize=BOUND)
    yield Wires(there.async_q.put, there.sync_q.get, back.sync_q.put, back.async_q.get)


@asynccontextmanager
async def janus_wires() -> AsyncIterator[Wires]:
    import janus

    there, back = janus.Queue[int](maxsize=BOUND), janus.Queue[int](maxsize=BOUND)
    try:
        yield Wires(there.async_q.put, there.sync_q.get, back.sync_q.put, back.async_q.get)
    finally:
        await there.aclose()
        await back.aclose()


@asynccontextmanager
async def standard_wires() -> AsyncIterator[Wires]:
    there, back = queue.SimpleQueue[int](), asyncio.Queue[int]()

    async def send(item: int) -> None:
        there.put(item)

    call: Any = asyncio.get_running_loop().call_soon_threadsafe
    yield Wires(send, there.get, partial(call, back.put_nowait), back.get)


CASES = (
    Case(
        room="queues",
        name="round-trip",
        question="How long does an item take from a task on asyncio to a thread and back?",
        contenders=[
            Contender(
                "penstock.Queue",
                f"`aput`, `get`, `put`, `aget`, maxsize {BOUND}",
                partial(echoed, penstock_wires),
                "penstock",
            ),
            Contender(
                "aiologic.SimpleQueue",
                "`async_put`, `green_get`, `green_put`, `async_get`; no bound; checkpoints off, "
                "its default",
                partial(echoed, aiologic_wires),
                "aiologic",
            ),
            Contender(
                "culsans.Queue",
                f"`async_q.put`, `sync_q.get`, `sync_q.put`, `async_q.get`, maxsize {BOUND}",
                partial(echoed, culsans_wires),
                "culsans",
            ),
            Contender(
                "janus.Queue",
                f"`async_q.put`, `sync_q.get`, `sync_q.put`, `async_q.get`, maxsize {BOUND}",
                partial(echoed, janus_wires),
                "janus",
            ),
            Contender(
                "SimpleQueue and asyncio.Queue",
                "`queue.SimpleQueue` there, `call_soon_threadsafe(put_nowait)` back; no bounds",
                partial(echoed, standard_wires),
            ),
        ],
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        targets=[
            Target(1, "aiologic.SimpleQueue", "p50"),
            Target(1, "aiologic.SimpleQueue", "p99"),
        ],
    ),
)
