"""Items from a plain thread into a task, one by one: a driver thread, a callback, a logger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import inf
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import LOOPS, Loop, kept
from benches.queues.peers import Ends, Open, in_order, joining, shared
from benches.units import ITEMS


def feed(put: Callable[[int], Any], n: int) -> None:
    for item in range(n):
        put(item)


@contextmanager
def drained(loop: Loop, open: Open) -> Iterator[Work]:
    """A thread puts n integers, a task of the loop takes them; a fresh queue for every lap."""

    async def lap(n: int) -> Lap:
        async with open() as (put, _, _, get):
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
async def asyncio_ends() -> AsyncIterator[Ends]:
    queue = asyncio.Queue[int]()
    call: Any = asyncio.get_running_loop().call_soon_threadsafe
    yield Ends(put=partial(call, queue.put_nowait), aget=queue.get)


@asynccontextmanager
async def trio_ends() -> AsyncIterator[Ends]:
    import trio

    send, receive = trio.open_memory_channel[int](inf)
    call: Any = trio.lowlevel.current_trio_token().run_sync_soon
    with send, receive:
        yield Ends(put=partial(call, send.send_nowait), aget=receive.receive)


def bare(loop: Loop, timed: Callable[[Loop, Open], Any]) -> Contender:
    """What the loop has by itself, called from another thread."""
    if loop == "trio":
        return Contender(
            "trio memory channel",
            "`run_sync_soon(send_nowait)` and `receive`; unbounded, since the documented bounded "
            "form, `trio.from_thread.run(send)`, waits for a loop turn per item",
            partial(timed, loop, trio_ends),
            "trio",
        )
    return Contender(
        "asyncio.Queue",
        "`call_soon_threadsafe(put_nowait)` and `get`; unbounded, since with a bound every "
        "item needs a coroutine of its own, which is slower still",
        partial(timed, loop, asyncio_ends),
    )


TARGETS = (Target(3e6), Target(6, "culsans.Queue"))

CASES = tuple(
    Case(
        room="queues",
        name=f"thread-to-{loop}",
        question=f"How many items a second reach a task on {loop} from a thread, one by one?",
        contenders=[*joining(loop, drained, "put", "aget"), bare(loop, drained)],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=TARGETS if loop == "trio" else (*TARGETS, Target(30, "janus.Queue")),
        shared=shared(loop),
    )
    for loop in LOOPS
)
