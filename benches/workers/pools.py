"""The pools under comparison, started, each with two workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock import WorkerPool

WORKERS = 2

# A fork of a process that has threads is a hazard; starting the workers is never timed.
SPAWNED = f"{WORKERS} spawned workers"


@contextmanager
def penstock_pool() -> Iterator[WorkerPool]:
    from penstock import WorkerPool

    with WorkerPool(workers=WORKERS) as pool:
        yield pool


@contextmanager
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        yield pool


@contextmanager
def multiprocessing_pool() -> Iterator[Pool]:
    # Its own exit terminates the workers, which would lose no time here but may print tracebacks.
    pool = get_context("spawn").Pool(WORKERS)
    try:
        yield pool
    finally:
        pool.close()
        pool.join()
