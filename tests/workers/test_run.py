"""`run` on every event loop, on one pool that all of them share."""

from __future__ import annotations

import functools
from collections.abc import Callable

import anyio
import pytest

from penstock import WorkerPool
from penstock.errors import Closed, Expired, Misuse
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step, gone, let_time_pass, stop


async def test_it_returns_what_the_function_returns(pool: WorkerPool):
    assert await pool.run(tasks.add, 20, 22) == 42
    assert await pool.run(functools.partial(tasks.join, "a", by="+"), "b") == "a+b"
    assert await pool.run(tasks.where) in pool.pids()[1:]


async def test_it_raises_what_the_function_raises(pool: WorkerPool):
    with pytest.raises(ValueError, match="4 is even") as caught:
        await pool.run(tasks.odd_only, 4)
    assert "in odd_only" in str(caught.value.__cause__), "the worker's traceback is the cause"


async def test_many_at_once_each_get_their_own(pool: WorkerPool):
    answers: dict[int, int] = {}

    async def call(number: int) -> None:
        answers[number] = await pool.run(tasks.double, number)

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(call, number)
    assert answers == {number: 2 * number for number in range(200)}


async def test_a_pool_in_a_loop_of_its_own():
    async with WorkerPool(workers=1) as pool:
        assert await pool.run(tasks.double, 21) == 42
    with pytest.raises(Closed, match="shut down"):
        await pool.run(tasks.double, 1)


async def test_leaving_by_an_exception_waits_for_what_was_submitted(tmp_path):
    path = tmp_path / "ran"
    with pytest.raises(LookupError):
        async with WorkerPool(workers=1) as pool:
            pool.submit(tasks.record, str(path), "once")
            raise LookupError
    assert path.read_text() == "once\n"


async def test_leaving_by_cancellation_ends_the_workers(step: Callable[[], Step]):
    held = step()
    with anyio.CancelScope() as scope:
        async with WorkerPool(workers=1) as pool:
            future = pool.submit(tasks.hold, *held.pipes)
            worker = held.begun()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert gone(worker)
    with pytest.raises(Closed, match="stopped before"):
        future.result(0)


async def test_cancelling_run_ends_the_work(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1) as pool, anyio.create_task_group() as group:
        group.start_soon(pool.run, tasks.hold, *held.pipes)
        worker = await anyio.to_thread.run_sync(held.begun)
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            assert await anyio.to_thread.run_sync(gone, worker)
            assert await pool.run(tasks.where) != worker, "and the pool goes on"


async def test_cancelling_run_takes_back_what_has_not_begun(
    pool_of_one: WorkerPool, step: Callable[[], Step], tmp_path
):
    held, path = step(), tmp_path / "ran"
    first = pool_of_one.submit(tasks.hold, *held.pipes)
    worker = await anyio.to_thread.run_sync(held.begun)
    with anyio.move_on_after(0) as scope:
        await pool_of_one.run(tasks.record, str(path), "never")
    assert scope.cancelled_caught
    held.release()
    await anyio.to_thread.run_sync(first.result)
    assert await pool_of_one.run(tasks.where) == worker, "nobody was killed for it"
    assert not path.exists()


async def test_a_timeout_ends_the_work_and_its_children(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1) as pool:

        async def expire() -> None:
            with pytest.raises(Expired, match=r"tasks\.with_grandchild .* was not done") as caught:
                await pool.run(tasks.with_grandchild, *held.pipes, timeout=2 * PATIENCE)
            assert isinstance(caught.value, TimeoutError)

        async with anyio.create_task_group() as group:
            group.start_soon(expire)
            grandchild = await anyio.to_thread.run_sync(held.begun)
            worker = await anyio.to_thread.run_sync(held.begun)
            let_time_pass(pool)
        assert await anyio.to_thread.run_sync(gone, worker)
        assert await anyio.to_thread.run_sync(gone, grandchild)
        assert await pool.run(tasks.add, 1) == 2


async def test_the_timeout_counts_the_wait_for_a_worker(pool_of_one: WorkerPool, step, tmp_path):
    held, path = step(), tmp_path / "ran"
    first = pool_of_one.submit(tasks.hold, *held.pipes)
    await anyio.to_thread.run_sync(held.begun)
    with pytest.raises(Expired, match="not done"):
        await pool_of_one.run(tasks.record, str(path), "never", timeout=0.05)
    held.release()
    await anyio.to_thread.run_sync(first.result)
    await pool_of_one.run(tasks.add, 1)
    assert not path.exists()


async def test_the_timeout_counts_the_wait_at_the_gate(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1, max_pending=1) as pool:
        first = pool.submit(tasks.hold, *held.pipes)
        with anyio.fail_after(20), pytest.raises(Expired, match="max_pending"):
            await pool.run(tasks.add, 1, timeout=0.05)
        held.release()
        await anyio.to_thread.run_sync(first.result)
        assert await pool.run(tasks.add, 1) == 2


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True])
async def test_a_timeout_that_is_none(pool: WorkerPool, timeout):
    with pytest.raises(Misuse, match="timeout="):
        await pool.run(tasks.add, 1, timeout=timeout)


async def test_a_timeout_beyond_all_clocks_is_no_timeout(pool: WorkerPool):
    for timeout in (float("inf"), 1e18):
        with anyio.fail_after(20):
            assert await pool.run(tasks.add, 1, timeout=timeout) == 2


async def test_a_stopped_worker_is_ended_by_its_timeout(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1) as pool, anyio.create_task_group() as group:

        async def expire() -> None:
            with pytest.raises(Expired):
                await pool.run(tasks.hold, *held.pipes, timeout=2 * PATIENCE)

        group.start_soon(expire)
        worker = await anyio.to_thread.run_sync(held.begun)
        stop(worker)
        let_time_pass(pool)
        assert await anyio.to_thread.run_sync(gone, worker)


def test_outside_of_a_loop_nothing_is_begun(pool_of_one: WorkerPool, tmp_path):
    call = pool_of_one.run(tasks.record, str(tmp_path / "ran"), "never")
    with pytest.raises(Misuse, match="no event loop"):
        call.send(None)
    pool_of_one.submit(tasks.add, 1).result()
    assert not (tmp_path / "ran").exists()
