"""What batches save on the way from a thread into a task; penstock against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Lock, Thread
from time import perf_counter_ns
from typing import TYPE_CHECKING

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import LOOPS, Loop, kept
from benches.queues.peers import BOUND, in_order, penstock_ends, shared
from benches.queues.thread_to_loop import drained, feed
from benches.units import ITEMS

if TYPE_CHECKING:
    from penstock import Queue

BATCH = 256


def feed_batches(queue: Queue[int], n: int) -> None:
    for start in range(0, n, BATCH):
        queue.put_many(range(start, min(start + BATCH, n)))


def feed_singles(queue: Queue[int], n: int) -> None:
    feed(queue.put, n)


@contextmanager
def drained_in_batches(loop: Loop, feeder: Callable[[Queue[int], int], None]) -> Iterator[Work]:
    from penstock import Queue

    async def lap(n: int) -> Lap:
        queue = Queue[int](maxsize=BOUND)
        thread = Thread(target=feeder, args=(queue, n))
        batches: list[list[int]] = []
        left = n
        started = perf_counter_ns()
        thread.start()
        while left:
            batch = await queue.aget_many(BATCH)
            batches.append(batch)
            left -= len(batch)
        took = Lap.since(started, None)
        thread.join()
        return Lap(list(chain.from_iterable(batches)), took.nanoseconds)

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


@contextmanager
def bare(loop: Loop) -> Iterator[Work]:
    """No queue, and a loop that is blocked while it has nothing to do."""

    async def lap(n: int) -> Lap:
        lists: list[list[int]] = []
        full, taken = Lock(), Lock()
        full.acquire()

        def feed_lists() -> None:
            for start in range(0, n, BOUND):
                taken.acquire()
                lists.append([])
                put = lists[-1].append
                for item in range(start, min(start + BOUND, n)):
                    put(item)
                full.release()

        thread = Thread(target=feed_lists)
        started = perf_counter_ns()
        thread.start()
        for _ in range(0, n, BOUND):
            full.acquire()
            taken.release()
        took = Lap.since(started, None)
        thread.join()
        return Lap(list(chain.from_iterable(lists)), took.nanoseconds)

    with kept(loop) as run:
        yield lambda n: run(partial(lap, n))


CASES = tuple(
    Case(
        room="queues",
        name=f"thread-to-{loop}-batches",
        question=f"How many items a second reach a task on {loop} in batches of up to {BATCH}?",
        contenders=[
            Contender(
                "aget_many",
                f"`put` one by one and `aget_many({BATCH})`, maxsize {BOUND}",
                partial(drained_in_batches, loop, feed_singles),
                "penstock",
            ),
            Contender(
                "put_many and aget_many",
                f"`put_many` of {BATCH} and `aget_many({BATCH})`, maxsize {BOUND}",
                partial(drained_in_batches, loop, feed_batches),
                "penstock",
            ),
            Contender(
                "one by one",
                f"`put` and `aget`, maxsize {BOUND}",
                partial(drained, loop, penstock_ends),
                "penstock",
            ),
            Contender(
                "two locks",
                f"no queue: `list.append` one by one, and two locks that pass on lists of {BOUND}; "
                "the loop is blocked meanwhile, which no queue may do",
                partial(bare, loop),
            ),
        ],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(2, "one by one")],
        shared=shared(loop),
    )
    for loop in LOOPS
)
