"""Between threads: one to one, and four to four."""

from __future__ import annotations

import gc
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Thread
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.queues.peers import BOUND
from benches.units import ITEMS

Ends = tuple[Callable[[Any], Any], Callable[[], Any]]


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector stays away: it would walk all items that a lap keeps as its answer, and again
    whenever some hundred lists more are kept, which is no queue's doing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def elapsed(threads: list[Thread]) -> int:
    """Nanoseconds from the start of the first to the end of the last."""
    with uncollected():
        started = perf_counter_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return perf_counter_ns() - started


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
        took = elapsed(threads)
        return Lap(list(chain.from_iterable(taken)), took)

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


def culsans_ends() -> Ends:
    import culsans

    shared = culsans.Queue[int](maxsize=BOUND)
    return shared.sync_q.put, shared.sync_q.get


def aiologic_ends() -> Ends:
    import aiologic

    shared = aiologic.SimpleQueue[int]()
    return shared.green_put, shared.green_get


def standard(timed: Callable[[Callable[[], Ends]], Any]) -> list[Contender]:
    """Ours and those of the standard library, which every interpreter has."""
    return [
        Contender(
            "penstock.Queue",
            f"`put` and `get`, maxsize {BOUND}",
            partial(timed, penstock_ends),
            "penstock",
        ),
        Contender("queue.Queue", f"`put` and `get`, maxsize {BOUND}", partial(timed, queue_ends)),
        Contender(
            "queue.SimpleQueue",
            "`put` and `get`; it has no bound, so its putter never waits",
            partial(timed, simple_queue_ends),
        ),
    ]


def others(timed: Callable[[Callable[[], Ends]], Any]) -> list[Contender]:
    """Those that join threads and tasks, used by threads only."""
    return [
        Contender(
            "culsans.Queue",
            f"`sync_q.put` and `sync_q.get`, maxsize {BOUND}",
            partial(timed, culsans_ends),
            "culsans",
        ),
        Contender(
            "aiologic.SimpleQueue",
            "`green_put` and `green_get`, no bound, as its bounded queue is several times slower",
            partial(timed, aiologic_ends),
            "aiologic",
        ),
    ]


def complete(pairs: int, n: int, answer: list[int]) -> bool:
    """Nothing lost or doubled; with one producer and one consumer in order as well."""
    return (answer if pairs == 1 else sorted(answer)) == list(range(n))


CASES = tuple(
    Case(
        room="queues",
        name=f"threads-{pairs}-to-{pairs}",
        question=f"How many items a second pass from {many} to {many}?",
        contenders=[*standard(partial(handed, pairs)), *others(partial(handed, pairs))],
        is_right=partial(complete, pairs),
        figures=[rate(ITEMS)],
        targets=[Target(6, "queue.Queue")],
    )
    for pairs, many in ((1, "one thread"), (4, "four threads"))
)
