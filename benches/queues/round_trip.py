"""From a task to a thread and back: two wakeups, which no data structure makes cheaper."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.loops import LOOPS, Loop, kept
from benches.queues.peers import Ends, Open, in_order, joining, shared
from benches.queues.thread_to_loop import asyncio_ends, trio_ends

Wires = Callable[[], AbstractAsyncContextManager[tuple[Ends, Ends]]]


@contextmanager
def echoed(loop: Loop, wires: Wires) -> Iterator[Work]:
    """A task sends an item and waits until the thread has sent it back; each trip is a sample."""

    async def lap(n: int) -> Lap:
        async with wires() as (there, back):

            def echo() -> None:
                get, put = there.get, back.put
                for _ in range(n):
                    put(get())

            thread = Thread(target=echo)
            thread.start()
            send, receive = there.aput, back.aget
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

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


@asynccontextmanager
async def two(open: Open) -> AsyncIterator[tuple[Ends, Ends]]:
    async with open() as there, open() as back:
        yield there, back


def echoed_by_two(loop: Loop, open: Open) -> Any:
    return echoed(loop, partial(two, open))


@asynccontextmanager
async def standard_wires(loop: Loop) -> AsyncIterator[tuple[Ends, Ends]]:
    there = queue.SimpleQueue[int]()

    async def send(item: int) -> None:
        there.put(item)

    async with (trio_ends if loop == "trio" else asyncio_ends)() as back:
        yield Ends(get=there.get, aput=send), back


def contenders(loop: Loop) -> list[Contender]:
    if loop == "trio":
        name, call = "trio memory channel", "run_sync_soon(send_nowait)"
    else:
        name, call = "asyncio.Queue", "call_soon_threadsafe(put_nowait)"
    standard = Contender(
        f"SimpleQueue and {name}",
        f"`queue.SimpleQueue` there, `{call}` back; no bounds",
        partial(echoed, loop, partial(standard_wires, loop)),
        "trio" if loop == "trio" else None,
    )
    return [*joining(loop, echoed_by_two, "aput", "get", "put", "aget"), standard]


CASES = tuple(
    Case(
        room="queues",
        # The row's name on asyncio is older than those of the other two.
        name="round-trip" if loop == "asyncio" else f"round-trip-{loop}",
        question=f"How long does an item take from a task on {loop} to a thread and back?",
        contenders=contenders(loop),
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        targets=[
            Target(1, "aiologic.SimpleQueue", "p50"),
            Target(1, "aiologic.SimpleQueue", "p99"),
        ],
        shared=shared(loop),
    )
    for loop in LOOPS
)
