"""`max_pending`: who comes when all places are taken waits, and is let in by turns."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from penstock import WorkerPool
from penstock.errors import Closed, Full
from penstock.workers._gate import Gate
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step


def waiting_at(pool: WorkerPool) -> int:
    return len(pool._gate._sleepers)


def wait_until_waiting(pool: WorkerPool, count: int) -> None:
    while waiting_at(pool) < count:  # nothing tells of it
        os.sched_yield()


def test_submit_blocks_until_a_place_is_free(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1, max_pending=2) as pool:
        first = pool.submit(tasks.hold, *held.pipes)
        second = pool.submit(tasks.identity, 2)
        got: list[int] = []

        def submit() -> None:
            got.append(pool.submit(tasks.identity, 3).result())

        thread = threading.Thread(target=submit)
        thread.start()
        wait_until_waiting(pool, 1)
        assert pool.statistics().submitted == 2
        held.release()
        thread.join(PATIENCE)
        assert got == [3]
        assert (first.result(0), second.result(0)) == (None, 2)


def test_shutdown_sends_home_who_waits(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1, max_pending=1) as pool:
        pool.submit(tasks.hold, *held.pipes)
        caught: list[BaseException] = []

        def submit() -> None:
            try:
                pool.submit(tasks.identity, 1)
            except Closed as error:
                caught.append(error)

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until_waiting(pool, 3)
        pool.shutdown(wait=False)
        for thread in threads:
            thread.join(PATIENCE)
        assert len(caught) == 3
        held.release()


async def test_run_waits_its_turn(step: Callable[[], Step], tmp_path):
    held, path = step(), tmp_path / "ran"
    async with WorkerPool(workers=1, max_pending=1) as pool:
        pool.submit(tasks.hold, *held.pipes)

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(pool.run, tasks.record, str(path), number)
                await anyio.wait_all_tasks_blocked()
            assert waiting_at(pool) == 5
            held.release()
    # As the worker ran them: two that end at about the same time may come back in either order.
    assert [int(line) for line in path.read_text().split()] == [0, 1, 2, 3, 4]


async def test_on_a_loop_submit_refuses_instead_of_blocking(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1, max_pending=1) as pool:
        pool.submit(tasks.hold, *held.pipes)
        with pytest.raises(Full, match="max_pending") as caught:
            pool.submit(tasks.identity, 1)
        assert "await pool.run" in caught.value.hint
        held.release()


async def test_a_cancelled_waiter_passes_its_turn_on(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1, max_pending=1) as pool:
        pool.submit(tasks.hold, *held.pipes)
        async with anyio.create_task_group() as group:
            doomed = anyio.CancelScope()

            async def first() -> None:
                with doomed:
                    await pool.run(tasks.identity, "first")

            group.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            answers: list[str] = []

            async def second() -> None:
                answers.append(await pool.run(tasks.identity, "second"))

            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            assert waiting_at(pool) == 2
            # The wake for the first and its cancellation in one turn of the loop.
            held.release()
            doomed.cancel()
        assert answers == ["second"]


async def test_a_wake_and_a_cancel_in_the_same_turn_leave_the_place_free():
    gate = Gate(1)
    assert gate.try_enter()
    async with anyio.create_task_group() as group:
        doomed = anyio.CancelScope()

        async def first() -> None:
            with doomed:
                await gate.aenter(None)
                gate.leave()  # the wake came first

        async def second() -> None:
            await gate.aenter(None)

        group.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        gate.leave()
        doomed.cancel()
    assert not gate.try_enter(), "the second is in"
    gate.leave()
    assert gate.try_enter()


def test_a_wake_and_a_native_cancel_in_the_same_turn_leave_the_place_free():
    async def main() -> None:
        gate = Gate(1)
        assert gate.try_enter()
        first = asyncio.ensure_future(gate.aenter(None))
        second = asyncio.ensure_future(gate.aenter(None))
        await asyncio.sleep(0)
        assert len(gate._sleepers) == 2
        gate.leave()
        first.cancel()
        assert await second is True
        assert first.cancelled()

    asyncio.run(main())


async def test_loops_and_threads_wait_at_one_gate():
    """Threads that submit, loops that run: everybody is let in, in the end nobody is inside."""
    with WorkerPool(workers=2, max_pending=3) as pool:

        def submit(base: int) -> list[int]:
            return [pool.submit(tasks.identity, base + n).result(PATIENCE) for n in range(50)]

        answers: list[int] = []

        async def run(base: int) -> None:
            for number in range(50):
                answer = await pool.run(tasks.identity, base + number)
                answers.append(answer)

        async def thread(base: int) -> None:
            answers.extend(await anyio.to_thread.run_sync(submit, base))

        async with anyio.create_task_group() as group:
            for base in range(0, 300, 100):
                group.start_soon(run, base)
                group.start_soon(thread, base + 50)
        assert sorted(answers) == list(range(300))
        assert (pool._gate._inside, waiting_at(pool)) == (0, 0)
