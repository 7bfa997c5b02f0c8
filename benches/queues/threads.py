"""Between threads: one to one, and four to four."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.queues.thread_to_loop import BOUND
from benches.units import ITEMS

Ends = tuple[Callable[[int], Any], Callable[[], int]]


@contextmanager
def handed(pairs: int, ends: Callable[[], Ends]) -> Iterator[Work]:
    """`pairs` threads put a share of the n integers each, as many take a share each."""

    def work(n: int) -> Lap:
        put, get = ends()
        taken: list[list[int]] = [[] for _ in range(pairs)]

        def produce(number: int) -> None:
            for item in range(number, n, pairs):
                put(item)

        def consume(number: int) -> None:
            taken[number] = [get() for _ in range(number, n, pairs)]

        threads = [
            Thread(target=role, args=(number,))
            for number in range(pairs)
            for role in (consume, produce)
        ]
        started = perf_counter_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = Lap.since(started, None)
        return Lap(list(chain.from_iterable(taken)), took.nanoseconds)

    yield work


def penstock_ends() -> Ends:
    from penstock import Queue

    shared = Queue[int](maxsize=BOUND)
    return shared.put, shared.get


def queue_ends() -> Ends:
    shared = queue.Queue[int](maxsize=BOUND)
    return shared.put, shared.get


def simple_queue_ends() -> Ends:
    shared = queue.SimpleQueue[int]()
    return shared.put, shared.get


def complete(pairs: int, n: int, answer: list[int]) -> bool:
    """Nothing lost or doubled; with one producer and one consumer in order as well."""
    return (answer if pairs == 1 else sorted(answer)) == list(range(n))


CASES = tuple(
    Case(
        room="queues",
        name=f"threads-{pairs}-to-{pairs}",
        question=f"How many items a second pass from {many} to {many}?",
        contenders=[
            Contender(
                "penstock.Queue",
                f"`put` and `get`, maxsize {BOUND}",
                partial(handed, pairs, penstock_ends),
                "penstock",
            ),
            Contender(
                "queue.Queue",
                f"`put` and `get`, maxsize {BOUND}",
                partial(handed, pairs, queue_ends),
            ),
            Contender(
                "queue.SimpleQueue",
                "`put` and `get`; it has no bound, so its putter never waits",
                partial(handed, pairs, simple_queue_ends),
            ),
        ],
        is_right=partial(complete, pairs),
        figures=[rate(ITEMS)],
        targets=[Target(6, "queue.Queue")],
    )
    for pairs, many in ((1, "one thread"), (4, "four threads"))
)
