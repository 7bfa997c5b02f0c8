"""`run_in_worker`: the service's pool, or a clear word."""

from __future__ import annotations

import os
import time

import anyio
import pytest

from penstock import Service, WorkerPool, run_in_worker
from penstock.errors import Expired, Misuse


async def test_a_call_runs_on_the_pool_of_the_service():
    pool = WorkerPool(workers=1)
    service = Service("orders")
    service.add(pool)
    async with service:
        assert await run_in_worker(divmod, 7, 3) == (2, 1)
        pid = await run_in_worker(os.getpid)
        assert pid in pool.pids()
        with pytest.raises(ZeroDivisionError):
            await run_in_worker(divmod, 1, 0)
    with pytest.raises(Misuse, match="no service runs"):
        await run_in_worker(os.getpid)


async def test_a_timeout_ends_the_call():
    service = Service("orders")
    service.add(WorkerPool(workers=1))
    async with service:
        with pytest.raises(Expired):
            await run_in_worker(time.sleep, 60.0, timeout=0.2)


async def test_a_task_of_a_server_finds_it_by_its_loop():
    """Its context knows of no service."""
    started, end = anyio.Event(), anyio.Event()

    async def serve() -> None:
        service = Service("orders")
        service.add(WorkerPool(workers=1))
        async with service:
            started.set()
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await started.wait()
        assert await run_in_worker(divmod, 7, 3) == (2, 1)
        end.set()


async def test_without_one_pool_it_says_what_to_do():
    with pytest.raises(Misuse, match="no service runs on this event loop") as caught:
        await run_in_worker(os.getpid)
    assert "service.add(WorkerPool())" in caught.value.hint
    async with Service("orders"):
        with pytest.raises(Misuse, match="service 'orders' has no pool"):
            await run_in_worker(os.getpid)
    service = Service("orders")
    service.add(WorkerPool(workers=1, name="large"), WorkerPool(workers=1, name="small"))
    async with service:
        with pytest.raises(Misuse, match="has 2 pools: 'large', 'small'"):
            await run_in_worker(os.getpid)
