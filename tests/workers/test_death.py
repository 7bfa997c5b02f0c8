"""A death costs the task that ran and no other."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

import pytest

from penstock import WorkerPool
from penstock.errors import Lost
from penstock.workers import WorkerLost
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step, gone, stop


def test_a_killed_worker_takes_one_of_ten_along(step: Callable[[], Step], tmp_path):
    held, path = step(), tmp_path / "ran"
    with WorkerPool(workers=2) as pool:
        victim = pool.submit(tasks.hold, *held.pipes)
        worker = held.begun()
        innocent = [pool.submit(tasks.record, str(path), number) for number in range(9)]
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(WorkerLost) as caught:
            victim.result(PATIENCE)
        assert [future.result(PATIENCE) for future in innocent] == list(range(9))
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2
        statistics = pool.statistics()
    assert sorted(map(int, path.read_text().split())) == list(range(9)), "each ran once"
    lost = caught.value
    assert isinstance(lost, BrokenProcessPool)
    assert isinstance(lost, Lost)
    assert (lost.pid, lost.signal, lost.exit_code) == (worker, signal.SIGKILL, None)
    assert lost.task == "tests.workers.tasks.hold"
    assert f"worker {worker} of pool" in str(lost)
    assert "SIGKILL while it ran tests.workers.tasks.hold" in str(lost)
    assert (statistics.lost, statistics.failed, statistics.restarts) == (1, 1, 1)


def test_what_lay_with_the_dead_runs_elsewhere_once_and_in_order(
    step: Callable[[], Step], tmp_path
):
    held, path = step(), tmp_path / "ran"
    with WorkerPool(workers=1) as pool:
        while pool._engine.appetite() < 20:  # quick tasks are laid many at a time
            pool.submit(tasks.identity, 1).result()
        victim = pool.submit(tasks.hold, *held.pipes)
        worker = held.begun()
        behind = [pool.submit(tasks.record, str(path), number) for number in range(100)]
        assert pool.statistics().laid > 5
        os.kill(worker, signal.SIGKILL)
        assert [future.result(PATIENCE) for future in behind] == list(range(100))
        assert isinstance(victim.exception(0), WorkerLost)
    assert [int(line) for line in path.read_text().split()] == list(range(100))


def test_one_that_is_killed_while_idle_is_replaced_and_nobody_hears_of_it():
    with WorkerPool(workers=1) as pool:
        worker = pool.pids()[1]
        pool.submit(tasks.add, 1).result()
        os.kill(worker, signal.SIGKILL)
        assert gone(worker)
        assert pool.submit(tasks.where).result(PATIENCE) != worker
        assert pool.statistics().lost == 0


@pytest.mark.parametrize(
    ("function", "arguments", "how", "number", "status"),
    [
        (tasks.exit_process, (7,), "exited with status 7", None, 7),
        (tasks.exit_process, (0,), "exited with status 0", None, 0),
        (tasks.crash, (), "ended by SIGSEGV", signal.SIGSEGV, None),
        (tasks.kill_self, (signal.SIGTERM,), "ended by SIGTERM", signal.SIGTERM, None),
        (tasks.kill_self, (signal.SIGRTMIN + 3,), "ended by signal 37", 37, None),
    ],
)
def test_ends_that_a_task_brings_about(function, arguments, how, number, status):
    with WorkerPool(workers=1) as pool:
        worker = pool.pids()[1]
        error = pool.submit(function, *arguments).exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert how in str(error)
        assert (error.pid, error.signal, error.exit_code) == (worker, number, status)
        assert error.hint
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2


@pytest.mark.timeout(30)
def test_a_worker_that_closes_its_descriptors_is_lost_not_waited_for():
    with WorkerPool(workers=1) as pool:
        error = pool.submit(tasks.close_descriptors).exception(PATIENCE / 2)
        assert error is None or isinstance(error, WorkerLost)
        assert pool.submit(tasks.add, 1).result(PATIENCE / 2) == 2


@pytest.mark.timeout(30)
def test_a_forked_child_that_returns_from_the_task_is_not_the_worker():
    with WorkerPool(workers=1) as pool:
        for _ in range(3):
            assert pool.submit(tasks.fork_and_return).result(PATIENCE / 2) > 0
        assert pool.submit(tasks.add, 1).result(PATIENCE / 2) == 2


def test_every_task_of_a_round_of_killing_gets_its_answer():
    with WorkerPool(workers=2) as pool:
        for _ in range(5):
            futures = [pool.submit(tasks.add, number) for number in range(200)]
            pool.kill_workers()
            outcomes = Counter(type(future.exception(PATIENCE)) for future in futures)
            assert outcomes.keys() <= {type(None), WorkerLost}
            assert outcomes[WorkerLost] <= 2
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2


def test_a_death_ends_the_grandchildren(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1) as pool:
        future = pool.submit(tasks.with_grandchild, *held.pipes)
        grandchild, worker = held.begun(), held.begun()
        os.kill(worker, signal.SIGKILL)
        assert gone(grandchild)
        assert isinstance(future.exception(PATIENCE), WorkerLost)


def test_a_stopped_worker_goes_on_where_it_was(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1) as pool:
        future = pool.submit(tasks.hold, *held.pipes, "done")
        worker = held.begun()
        os.kill(worker, signal.SIGSTOP)
        held.release()
        os.kill(worker, signal.SIGCONT)
        assert future.result(PATIENCE) == "done"
        assert pool.submit(tasks.where).result(PATIENCE) == worker


@pytest.mark.timeout(30)
def test_a_lane_full_of_recalled_tasks_is_gone_on_with(step: Callable[[], Step]):
    """Nothing lies with the stopped worker in the end, so no result will tell that it has room."""
    with WorkerPool(workers=1) as pool:
        worker = pool.pids()[1]
        pool.submit(tasks.add, 1).result()
        stop(worker)
        for _ in range(30):
            assert pool.submit(tasks.identity, bytes(15_000)).cancel()
        last = pool.submit(tasks.identity, bytes(15_000))
        while pool._engine._rung:
            os.sched_yield()  # until the pool's thread has tried, too
        os.kill(worker, signal.SIGCONT)
        assert last.result(PATIENCE / 2) == bytes(15_000)


@pytest.mark.timeout(30)
def test_a_worker_whose_lane_is_full_is_told_to_stop_all_the_same():
    with WorkerPool(workers=1) as pool:
        worker = pool.pids()[1]
        stop(worker)
        # Records of one size until there is no room for another, then the one that just fits.
        for size in [15_000] * 9 + list(range(15_000, 0, -8)):
            assert pool.submit(tasks.identity, bytes(size)).cancel()
        pool.shutdown(wait=False)
        while pool._engine._rung:
            os.sched_yield()
        os.kill(worker, signal.SIGCONT)
        assert gone(worker, PATIENCE / 2)
