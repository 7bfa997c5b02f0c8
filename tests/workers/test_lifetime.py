"""Before the start, after the end, and what is left: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest
import trio
import uvloop

from penstock import WorkerPool
from penstock.errors import Closed, Misuse
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step
from tests.workers.traces import nothing_left


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": -2}, "workers=-2"),
        ({"workers": 1.5}, "workers=1.5"),
        ({"workers": True}, "workers=True"),
        ({"workers": "2"}, "workers='2'"),
        ({"workers": 100_000}, "workers=100000"),
        ({"max_pending": 0}, "max_pending=0"),
        ({"max_pending": None}, "max_pending=None"),
        ({"max_tasks_per_child": 0}, "max_tasks_per_child=0"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"max_bytes": 1 << 62}, "max_bytes="),
        ({"max_bytes": 10.0}, "max_bytes=10.0"),
        ({"preload": "numpy"}, "preload='numpy'"),
    ],
)
def test_an_argument_that_cannot_work_is_refused_when_it_is_given(arguments, named):
    with nothing_left(), pytest.raises(Misuse, match=named) as caught:
        WorkerPool(**arguments)
    assert caught.value.hint


def test_a_pool_that_was_not_started():
    pool = WorkerPool(workers=1, name="early")
    with pytest.raises(Misuse, match=r"'early' has not been started") as caught:
        pool.submit(tasks.add, 1)
    assert "with pool" in caught.value.hint
    assert pool.pids() == []
    assert pool.statistics().workers == 0
    pool.kill_workers()


def test_a_pool_is_started_once():
    with WorkerPool(workers=1, name="single") as pool:
        with pytest.raises(Misuse, match="'single' is running already"):
            pool.__enter__()
        assert pool.submit(tasks.add, 1).result() == 2
        pids = pool.pids()
    with nothing_left(), pytest.raises(Misuse, match="'single' has been used"):
        pool.__enter__()
    assert len(pids) == 2


def test_shutting_down_before_the_start_is_the_end():
    pool = WorkerPool(workers=1)
    pool.shutdown()
    with nothing_left(), pytest.raises(Misuse, match="has been used"), pool:
        pass


def test_after_shutdown_nothing_is_taken_and_all_that_was_is_done(tmp_path):
    path = tmp_path / "ran"
    with WorkerPool(workers=2) as pool:
        futures = [pool.submit(tasks.record, str(path), number) for number in range(40)]
        pool.shutdown()
        assert all(future.done() for future in futures)
        with pytest.raises(Closed, match="shut down"):
            pool.submit(tasks.add, 1)
        pool.shutdown()
    assert sorted(map(int, path.read_text().split())) == list(range(40))
    pool.shutdown(cancel_futures=True)
    pool.kill_workers()
    assert pool.statistics().completed == 40
    assert pool.pids() == []


def test_shutdown_without_waiting(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1) as pool:
        future = pool.submit(tasks.hold, *held.pipes, "done")
        held.begun()
        pool.shutdown(wait=False)
        assert not future.done()
        with pytest.raises(Closed):
            pool.submit(tasks.add, 1)
        held.release()
        assert future.result(PATIENCE) == "done"


def test_shutdown_that_cancels(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1) as pool:
        running = pool.submit(tasks.hold, *held.pipes, "done")
        held.begun()
        waiting = [pool.submit(tasks.identity, number) for number in range(10)]
        pool.shutdown(wait=False, cancel_futures=True)
        held.release()
    assert running.result(0) == "done"
    assert all(future.cancelled() for future in waiting), "those laid with a worker among them"


def test_leaving_by_ctrl_c_ends_what_runs(step: Callable[[], Step]):
    held = step()
    with pytest.raises(KeyboardInterrupt), WorkerPool(workers=1) as pool:
        running = pool.submit(tasks.hold, *held.pipes)
        waiting = pool.submit(tasks.add, 1)
        held.begun()
        raise KeyboardInterrupt
    with pytest.raises(Closed, match="stopped before"):
        running.result(0)
    assert waiting.cancelled()


def test_statistics_add_up(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=2) as pool:
        for _ in range(10):
            pool.submit(tasks.add, 1).result()
        pool.submit(tasks.odd_only, 2).exception()
        running = [pool.submit(tasks.hold, *held.pipes) for _ in range(2)]
        for _ in running:
            held.begun()
        queued = [pool.submit(tasks.add, 1) for _ in range(10)]
        now = pool.statistics()
        assert (now.workers, now.idle, now.submitted) == (2, 0, 23)
        assert now.queued + now.laid == 12
        assert (now.completed, now.failed, now.cancelled, now.lost) == (10, 1, 0, 0)
        assert queued[-1].cancel()
        held.release(2)
        for future in [*running, *queued[:-1]]:
            future.result(PATIENCE)
        now = pool.statistics()
        assert now.submitted == now.completed + now.failed + now.cancelled == 23
        assert (now.queued, now.laid, now.idle) == (0, 0, 2)
        assert 0 < now.utilisation <= 1
        assert 0 < now.run_mean <= now.run_max
        assert 0 <= now.wait_mean <= now.wait_max
    after = pool.statistics()
    assert after.workers == 0
    assert after[4:9] == now[4:9]


def test_a_task_may_use_a_pool_of_its_own(pool: WorkerPool):
    assert pool.submit(inner_pool).result(PATIENCE) == [0, 2, 4]
    assert pool.submit(tasks.add, 1).result(PATIENCE) == 2


def inner_pool() -> list[int]:
    with WorkerPool(workers=1) as pool:
        return list(pool.map(tasks.double, range(3)))


def test_recursion_is_a_matter_of_pickling(pool: WorkerPool):
    with pytest.raises(Misuse, match="does not pickle"):
        pool.submit(tasks.identity, pool)


def test_nothing_is_left_after_a_pool():
    warm_up()
    with nothing_left():
        with WorkerPool(workers=2) as pool:
            results = list(pool.map(tasks.ones, [10_000] * 10, chunksize=1))
            lost = pool.submit(tasks.kill_self)
            assert lost.exception(PATIENCE) is not None
            assert sum(map(len, results)) == 100_000
        del results, lost
    with nothing_left(), pytest.raises(KeyboardInterrupt), WorkerPool(workers=2) as pool:
        pool.submit(tasks.kill_self, 19)
        raise KeyboardInterrupt


def warm_up() -> None:
    """What a first pool leaves in the process by importing."""
    with WorkerPool(workers=1) as pool:
        pool.submit(tasks.ones, 10_000).result()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_nothing_is_left_after_a_loop(loop: str):
    async def main() -> None:
        async with WorkerPool(workers=2) as pool:
            async for value in pool.imap(tasks.ones, [10_000] * 20):
                assert value[0] == 1
            with anyio.move_on_after(0.05):
                await pool.run(tasks.kill_self, 19)

    def run() -> None:
        if loop == "trio":
            trio.run(main)
        else:
            factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main())

    run()
    with nothing_left():
        run()


def test_a_failed_future_holds_no_descriptor():
    warm_up()
    kept = []
    with nothing_left():
        with WorkerPool(workers=1) as pool:
            for _ in range(3):
                kept.append(pool.submit(tasks.kill_self))
                assert kept[-1].exception(PATIENCE) is not None
            kept.append(pool.submit(tasks.add, 1))
        del pool
    assert kept[-1].result(0) == 2
    assert [future.cancel() for future in kept] == [False] * 4
