"""What a put costs in system calls while its consumer is awake: none, if nobody has to be called.

The consumer is a task that has not asked for the next item yet: its loop stands still until the
thread has put a thousand, and then it takes them. What the loop and the queue say of themselves is
counted during the puts, what strace sees during the takes as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Figure, Lap, Target, Work
from benches.loops import Loop, kept
from benches.queues.peers import BOUND, Ends, Open, in_order, joining, penstock_ends
from benches.queues.thread_to_loop import bare, feed
from benches.system_calls import can_be_counted, counted
from benches.units import PER_ITEM

AT_ONCE = 1000
# What wakes a loop that sleeps in its selector: a byte to its socket or a number to its eventfd.
CALLS = ("write", "writev", "sendto", "sendmsg")

INSIDE, OUTSIDE = "counted inside", "counted by strace"

Counted = AbstractAsyncContextManager[tuple[Ends, Callable[[], int]]]


@asynccontextmanager
async def loops_own(open: Open) -> AsyncIterator[tuple[Ends, Callable[[], int]]]:
    """A queue that wakes its task through the loop, whose calls are counted."""
    loop: Any = asyncio.get_running_loop()
    wake = loop._write_to_self
    calls = 0

    def counting() -> None:
        nonlocal calls
        calls += 1
        wake()

    loop._write_to_self = counting
    try:
        async with open() as ends:
            yield ends, lambda: calls
    finally:
        del loop._write_to_self


@asynccontextmanager
async def penstocks_own() -> AsyncIterator[tuple[Ends, Callable[[], int]]]:
    """As above, and what the queue's statistics say besides."""
    from penstock import Queue

    queue = Queue[int](maxsize=BOUND)

    @asynccontextmanager
    async def ends() -> AsyncIterator[Ends]:
        yield Ends(put=queue.put, aget=queue.aget)

    async with loops_own(ends) as (found, calls):
        yield found, lambda: calls() + queue.statistics().system_wakes


def own_count(open: Open) -> Counted:
    return penstocks_own() if open is penstock_ends else loops_own(open)


def put_all(put: Callable[[int], Any], start: int) -> None:
    for item in range(start, start + AT_ONCE):
        put(item)


@contextmanager
def flowing(loop: Loop, open: Open) -> Iterator[Work]:
    """A thread and a task as fast as they can: the task sleeps whenever it has caught up."""

    async def lap(n: int) -> Lap:
        async with own_count(open) as (ends, calls):
            thread = Thread(target=feed, args=(ends.put, n))
            before = calls()
            started = perf_counter_ns()
            thread.start()
            answer = [await ends.aget() for _ in range(n)]
            done = Lap.since(started, answer)
            thread.join()
            return replace(done, counts={INSIDE: calls() - before})

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


@contextmanager
def awake(loop: Loop, open: Open) -> Iterator[Work]:
    async def lap(n: int) -> Lap:
        started = perf_counter_ns()
        async with own_count(open) as (ends, calls):
            answer: list[int] = []
            inside = 0
            seen = counted(CALLS) if can_be_counted() else nullcontext([0])
            with seen as outside:
                for start in range(0, n, AT_ONCE):
                    before = calls()
                    thread = Thread(target=put_all, args=(ends.put, start))
                    thread.start()
                    thread.join()
                    inside += calls() - before
                    answer += [await ends.aget() for _ in range(AT_ONCE)]
            counts = {INSIDE: inside, OUTSIDE: outside[0]}
            return Lap(answer, perf_counter_ns() - started, counts=counts)

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


def per_item(name: str) -> Figure:
    return Figure(name, PER_ITEM, lambda lap, n: lap.counts[name] / n)


FIGURES = [per_item(INSIDE), *([per_item(OUTSIDE)] if can_be_counted() else [])]

CASES = (
    Case(
        room="queues",
        name="wakes-awake",
        question=(
            "How many system calls does an item from a thread cost to wake a task on asyncio that "
            f"is awake ({AT_ONCE} items, then as many takes; calls: {', '.join(CALLS)})?"
        ),
        contenders=[*joining("asyncio", awake, "put", "aget"), bare("asyncio", awake)],
        is_right=in_order,
        figures=FIGURES,
        targets=[Target(0, figure=figure.name) for figure in FIGURES],
    ),
    Case(
        room="queues",
        name="wakes-flowing",
        question=(
            "How many system calls does an item from a thread cost to wake a task on asyncio while "
            "both go as fast as they can, one by one?"
        ),
        contenders=[*joining("asyncio", flowing, "put", "aget"), bare("asyncio", flowing)],
        is_right=in_order,
        figures=[per_item(INSIDE)],
        targets=[Target(0.01)],
    ),
)
