"""Numpy arrays into a worker and out of it, one call at a time, from an ordinary array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import cycle
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Figure, Lap, Target, Work, byte_rate, cost
from benches.units import BYTES
from benches.workers.pools import SPAWNED, WORKERS, executor, penstock_pool
from benches.workers.tasks import PAGE, stamped, touch

Pool = Callable[[], AbstractContextManager[Executor]]


@contextmanager
def sent(length: int, make: Pool) -> Iterator[Work]:
    """Each call sends another array object; four take turns, so that their memory is warm."""
    import numpy as np

    with make() as pool:
        arrays = cycle([np.zeros(length) for _ in range(4)])

        def work(n: int) -> Lap:
            answer: list[float] = []
            started = perf_counter_ns()
            for number, array in zip(range(n), arrays, strict=False):
                array[0] = number
                answer.append(pool.submit(touch, array).result())
            return Lap.since(started, answer)

        yield work


@contextmanager
def fetched(length: int, make: Pool) -> Iterator[Work]:
    with make() as pool:

        def work(n: int) -> Lap:
            answer: list[tuple[int, float, float, float]] = []
            started = perf_counter_ns()
            for number in range(n):
                array = pool.submit(stamped, length, float(number)).result()
                answer.append((len(array), array[0], array[-1], touch(array)))
            return Lap.since(started, answer)

        yield work


def numbers_came(n: int, answer: list[float]) -> bool:
    return answer == list(range(n))


def arrays_came(length: int, n: int, answer: list[tuple[int, float, float, float]]) -> bool:
    # The last value counts in the sum only if it begins a page.
    twice = 2 if (length - 1) % PAGE == 0 else 1
    return answer == [(length, number, number, twice * number) for number in range(n)]


def _contenders(opened: Callable[[int, Pool], Any], length: int) -> list[Contender]:
    return [
        Contender(
            "penstock.WorkerPool",
            f"`submit(...).result()`, {WORKERS} workers; memory of earlier calls is reused",
            partial(opened, length, penstock_pool),
            "penstock",
        ),
        Contender(
            "ProcessPoolExecutor",
            f"`submit(...).result()`, {SPAWNED}",
            partial(opened, length, executor),
        ),
    ]


def _case(megabytes: int, way: str, figure: Figure, least: int, targets: list[Target]) -> Case:
    length = megabytes * 1_000_000 // 8
    goes_in = way == "in"
    return Case(
        room="workers",
        name=f"array-{megabytes}-mb-{way}",
        question=f"How fast does a numpy array of {megabytes} MB go "
        f"{'into' if goes_in else 'out of'} a worker?",
        contenders=_contenders(sent if goes_in else fetched, length),
        is_right=numbers_came if goes_in else partial(arrays_came, length),
        figures=[figure],
        targets=targets,
        least=least,
        shared=["numpy"],
    )


CASES = (
    _case(10, "in", byte_rate(BYTES, 10_000_000), 8, [Target(10, "ProcessPoolExecutor")]),
    _case(10, "out", byte_rate(BYTES, 10_000_000), 8, [Target(8, "ProcessPoolExecutor")]),
    _case(64, "in", cost(), 4, [Target(10e-3)]),
    _case(64, "out", cost(), 4, [Target(10e-3)]),
)
