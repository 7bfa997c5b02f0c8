"""A call by way of a worker is checked like the call itself."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import assert_type

from penstock import WorkerPool, run_in_worker


def repeat(text: str, times: int) -> list[str]:
    return [text] * times


async def from_loops(pool: WorkerPool) -> None:
    assert_type(await pool.run(repeat, "a", 3, timeout=5.0), list[str])
    await pool.run(repeat, 3, "a")  # type: ignore[arg-type]
    await pool.run(repeat, "a")  # type: ignore[arg-type]
    assert_type(await run_in_worker(repeat, "a", 3, timeout=5.0), list[str])
    await run_in_worker(repeat, 3, "a")  # type: ignore[arg-type]
    async with pool as started:
        assert_type(started, WorkerPool)
    async for length in pool.imap(len, ["a", "b"], ordered=False):
        assert_type(length, int)


def from_threads(pool: WorkerPool) -> None:
    as_readers_know_it: Executor = pool
    assert_type(pool.submit(repeat, "a", times=3), Future[list[str]])
    assert_type(pool.submit(repeat, "a", times=3).result(), list[str])
    pool.submit(repeat, "a", count=3)  # type: ignore[call-arg]
    del as_readers_know_it
