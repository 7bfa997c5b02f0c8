"""One call that does nothing, and its answer: what the way to a worker and back takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.loops import kept
from benches.workers.pools import (
    SPAWNED,
    WORKERS,
    executor,
    multiprocessing_pool,
    penstock_pool,
)
from benches.workers.tasks import echo


def blocking(call: Callable[[int], int], n: int) -> Lap:
    answer: list[int] = []
    samples: list[int] = []
    started = perf_counter_ns()
    for number in range(n):
        sent = perf_counter_ns()
        answer.append(call(number))
        samples.append(perf_counter_ns() - sent)
    return Lap.since(started, answer, samples)


async def awaited(call: Callable[[int], Awaitable[int]], n: int) -> Lap:
    answer: list[int] = []
    samples: list[int] = []
    started = perf_counter_ns()
    for number in range(n):
        sent = perf_counter_ns()
        answer.append(await call(number))
        samples.append(perf_counter_ns() - sent)
    return Lap.since(started, answer, samples)


@contextmanager
def penstock_blocking() -> Iterator[Work]:
    with penstock_pool() as pool:
        yield partial(blocking, lambda number: pool.submit(echo, number).result())


@contextmanager
def executor_blocking() -> Iterator[Work]:
    with executor() as pool:
        yield partial(blocking, lambda number: pool.submit(echo, number).result())


@contextmanager
def multiprocessing_blocking() -> Iterator[Work]:
    with multiprocessing_pool() as pool:
        yield partial(blocking, lambda number: pool.apply(echo, (number,)))


@contextmanager
def penstock_awaited() -> Iterator[Work]:
    with penstock_pool() as pool, kept("asyncio") as run:
        pool_run: Any = pool.run
        yield lambda n: run(lambda: awaited(partial(pool_run, echo), n))


@contextmanager
def executor_awaited() -> Iterator[Work]:
    with executor() as pool, kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            run_in_executor: Any = asyncio.get_running_loop().run_in_executor
            return await awaited(partial(run_in_executor, pool, echo), n)

        yield lambda n: run(partial(lap, n))


@contextmanager
def anyio_awaited() -> Iterator[Work]:
    import anyio
    from anyio import to_process

    async def lap(n: int) -> Lap:
        run_sync: Any = to_process.run_sync
        await run_sync(echo, 0)  # starts the worker
        return await awaited(partial(run_sync, echo), n)

    # Its workers end with the root task that started them, so a kept loop would reuse dead ones.
    yield lambda n: anyio.run(lap, n)


def echoed(n: int, answer: list[int]) -> bool:
    return answer == list(range(n))


CASES = (
    Case(
        room="workers",
        name="call",
        question="How long does one call of a trivial function take, blocking?",
        contenders=[
            Contender(
                "penstock.WorkerPool",
                f"`submit(...).result()`, {WORKERS} workers",
                penstock_blocking,
                "penstock",
            ),
            Contender(
                "ProcessPoolExecutor", f"`submit(...).result()`, {SPAWNED}", executor_blocking
            ),
            Contender("multiprocessing.Pool", f"`apply`, {SPAWNED}", multiprocessing_blocking),
        ],
        is_right=echoed,
        figures=[percentile(50), percentile(99)],
        targets=[Target(60e-6, figure="p50")],
    ),
    Case(
        room="workers",
        name="call-from-asyncio",
        question="How long does one call of a trivial function take, awaited on asyncio?",
        contenders=[
            Contender(
                "penstock.WorkerPool",
                f"`await pool.run(...)`, {WORKERS} workers",
                penstock_awaited,
                "penstock",
            ),
            Contender(
                "ProcessPoolExecutor", f"`loop.run_in_executor`, {SPAWNED}", executor_awaited
            ),
            Contender(
                "anyio.to_process",
                "`run_sync`; it starts a worker when none is idle, so one here",
                anyio_awaited,
                "anyio",
            ),
        ],
        is_right=echoed,
        figures=[percentile(50), percentile(99)],
        targets=[Target(60e-6, figure="p50")],
    ),
)
