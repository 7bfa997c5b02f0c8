"""What it costs to serve waiters in the order in which they came, beside those who promise less."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benches.case import Case, Contender, Target, rate
from benches.queues import thread_to_loop, threads
from benches.queues.peers import BOUND, Ends, in_order, joining
from benches.units import ITEMS


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    from penstock import Queue

    queue = Queue[int](maxsize=BOUND, fair=True)
    yield Ends(queue.put, queue.get, queue.aput, queue.aget)


def thread_ends() -> threads.Ends:
    from penstock import Queue

    shared = Queue[int](maxsize=BOUND, fair=True)
    return shared.put, shared.get


NAME = "penstock.Queue, fair"
handed = partial(threads.handed, 4)
drained = thread_to_loop.drained

CASES = (
    Case(
        room="queues",
        name="fair-threads-4-to-4",
        question="How many items a second pass between four threads and four, each in its turn?",
        contenders=[
            Contender(
                NAME,
                f"`put` and `get`, maxsize {BOUND}, fair=True",
                partial(handed, thread_ends),
                "penstock",
            ),
            *threads.standard(handed),
        ],
        is_right=partial(threads.complete, 4),
        figures=[rate(ITEMS)],
        targets=[Target(3, "queue.Queue")],
    ),
    Case(
        room="queues",
        name="fair-thread-to-asyncio",
        question="How many items a second reach a task on asyncio from a thread, each in its turn?",
        contenders=[
            Contender(
                NAME,
                f"`put` and `aget`, maxsize {BOUND}, fair=True",
                partial(drained, "asyncio", ends),
                "penstock",
            ),
            *joining("asyncio", drained, "put", "aget"),
        ],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(3, "culsans.Queue")],
    ),
)
