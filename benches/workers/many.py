"""Many calls at once: as futures, and as a stream of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.units import CALLS
from benches.workers.call import echoed
from benches.workers.pools import (
    SPAWNED,
    WORKERS,
    executor,
    multiprocessing_pool,
    penstock_pool,
)
from benches.workers.tasks import echo


@contextmanager
def submitted(make: Callable[[], AbstractContextManager[Executor]]) -> Iterator[Work]:
    with make() as pool:

        def work(n: int) -> Lap:
            started = perf_counter_ns()
            futures = [pool.submit(echo, number) for number in range(n)]
            answer = [future.result() for future in futures]
            return Lap.since(started, answer)

        yield work


@contextmanager
def penstock_streamed() -> Iterator[Work]:
    with penstock_pool() as pool, kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            started = perf_counter_ns()
            answer = [value async for value in pool.imap(echo, range(n), ordered=True)]
            return Lap.since(started, answer)

        yield lambda n: run(partial(lap, n))


@contextmanager
def executor_streamed() -> Iterator[Work]:
    with executor() as pool:

        def work(n: int) -> Lap:
            started = perf_counter_ns()
            answer = list(pool.map(echo, range(n)))
            return Lap.since(started, answer)

        yield work


@contextmanager
def multiprocessing_streamed() -> Iterator[Work]:
    with multiprocessing_pool() as pool:

        def work(n: int) -> Lap:
            started = perf_counter_ns()
            answer = list(pool.imap(echo, range(n)))
            return Lap.since(started, answer)

        yield work


CASES = (
    Case(
        room="workers",
        name="submit",
        question="How many trivial calls a second, each with a future of its own?",
        contenders=[
            Contender(
                "penstock.WorkerPool",
                f"`submit` for all, then `result`; {WORKERS} workers, max_pending as it is",
                partial(submitted, penstock_pool),
                "penstock",
            ),
            Contender(
                "ProcessPoolExecutor",
                f"`submit` for all, then `result`; {SPAWNED}",
                partial(submitted, executor),
            ),
        ],
        is_right=echoed,
        figures=[rate(CALLS)],
        targets=[Target(6, "ProcessPoolExecutor")],
    ),
    Case(
        room="workers",
        name="imap",
        question="How many trivial calls a second, results as a stream, nothing set?",
        contenders=[
            Contender(
                "penstock.WorkerPool",
                f"`async for` over `imap(..., ordered=True)` on asyncio; {WORKERS} workers",
                penstock_streamed,
                "penstock",
            ),
            Contender(
                "multiprocessing.Pool",
                f"`imap`, chunksize 1, its default; {SPAWNED}",
                multiprocessing_streamed,
            ),
            Contender(
                "ProcessPoolExecutor",
                f"`map`, chunksize 1, its default; {SPAWNED}",
                executor_streamed,
            ),
        ],
        is_right=echoed,
        figures=[rate(CALLS)],
        targets=[Target(4, "multiprocessing.Pool"), Target(10, "ProcessPoolExecutor")],
    ),
)
