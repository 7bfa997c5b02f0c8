"""`max_tasks_per_child`, `preload`, and the zygote behind them."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import anyio.to_thread
import pytest

from penstock import WorkerPool
from penstock.errors import EngineError, Misuse
from penstock.workers import WorkerLost, _reactor
from penstock.workers._launcher import Launcher
from tests.workers import tasks
from tests.workers.steps import PATIENCE, gone, stop
from tests.workers.traces import nothing_left


def test_a_worker_runs_so_many_tasks_and_no_more():
    with WorkerPool(workers=2, max_tasks_per_child=3) as pool:
        seen = Counter(pool.map(tasks.where_of, range(30), chunksize=1))
        assert seen.total() == 30
        assert max(seen.values()) <= 3
        assert len(seen) >= 10
        assert pool.statistics().restarts == 0, "to retire is not to die"


def test_each_task_in_a_process_of_its_own():
    with WorkerPool(workers=2, max_tasks_per_child=1) as pool:
        pids = list(pool.map(tasks.where_of, range(12), chunksize=1))
    assert len(set(pids)) == 12


def test_many_workers_that_retire_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_reactor, "_MOST_PARTICIPANTS", 3)
    with WorkerPool(workers=3, max_tasks_per_child=1) as pool:
        pids = list(pool.map(tasks.where_of, range(15), chunksize=1))
    assert len(set(pids)) == 15


def test_modules_are_preloaded():
    with WorkerPool(workers=1, preload=["colorsys"]) as pool:
        assert pool.submit(tasks.imported, "colorsys").result() is True
        assert pool.submit(tasks.imported, "chunk").result() is False


def test_a_module_that_is_missing_is_named():
    with nothing_left():
        pool = WorkerPool(workers=1, name="unlucky", preload=["colorsys", "no_such_module"])
        with pytest.raises(Misuse, match=r"'unlucky' cannot preload 'no_such_module'") as caught:
            pool.__enter__()
        assert "import no_such_module" in caught.value.hint


def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "failing_module.py").write_text("raise SystemExit('not today')")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(Misuse, match="'failing_module': SystemExit: not today"):
        WorkerPool(workers=1, preload=["failing_module"]).__enter__()


@pytest.fixture
def threaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    text = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    (tmp_path / "threaded_module.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return "threaded_module"


def test_a_module_that_starts_threads_is_named_in_a_warning(threaded: str):
    with (
        pytest.warns(RuntimeWarning, match=r"preload-started-threads: threaded_module left 1 thr"),
        WorkerPool(workers=1, preload=[threaded]) as pool,
    ):
        assert pool.submit(tasks.imported, threaded).result() is True


def test_the_warning_as_an_error_leaves_nothing_running(threaded: str):
    with nothing_left(), pytest.raises(RuntimeWarning, match="preload-started-threads"):
        WorkerPool(workers=1, preload=[threaded]).__enter__()


# -- the zygote


def test_a_killed_zygote_is_replaced_when_a_worker_is_needed():
    with WorkerPool(workers=1) as pool:
        zygote, worker = pool.pids()
        os.kill(zygote, signal.SIGKILL)
        assert gone(zygote)
        assert pool.submit(tasks.where).result(PATIENCE) == worker, "its workers live on"
        with pytest.raises(WorkerLost, match=str(worker)):
            pool.submit(tasks.kill_self).result(PATIENCE)
        assert pool.submit(tasks.where).result(PATIENCE) != worker
        assert pool.pids()[0] != zygote


@pytest.mark.timeout(30)
def test_a_killed_zygote_is_replaced_when_a_worker_retires():
    with WorkerPool(workers=1, max_tasks_per_child=1) as pool:
        killed = set[int]()
        while len(killed) < 3:
            pids = pool.pids()
            zygote = pids[0] if len(pids) == 2 else None
            if zygote is None or zygote in killed:  # the next one comes when the worker has gone
                continue
            os.kill(zygote, signal.SIGKILL)
            assert gone(zygote)
            killed.add(zygote)
            assert pool.submit(tasks.add, 1).result(PATIENCE / 2) == 2


def test_a_zygote_that_is_killed_while_it_starts_is_replaced(monkeypatch: pytest.MonkeyPatch):
    prepare = Launcher._prepare
    left = [True, True, True]

    def killed(launcher: Launcher) -> None:
        if left and left.pop():
            os.kill(launcher.pid, signal.SIGKILL)
        prepare(launcher)

    with WorkerPool(workers=1) as pool:
        monkeypatch.setattr(Launcher, "_prepare", killed)
        zygote, worker = pool.pids()
        os.kill(zygote, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        assert gone(worker)
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2
        assert not left


@pytest.mark.timeout(30)
async def test_a_timeout_after_the_zygotes_death_ends_its_worker():
    async with WorkerPool(workers=1) as pool:
        zygote, worker = pool.pids()
        os.kill(zygote, signal.SIGKILL)
        assert gone(zygote)
        while not gone(worker, within=0):
            with pytest.raises(TimeoutError):  # at first perhaps of a task that has not begun yet
                await pool.run(tasks.kill_self, 19, timeout=0.2)
            await anyio.to_thread.run_sync(gone, worker, 0.2)
        pool.kill_workers()
        pool.kill_workers()
        assert await pool.run(tasks.add, 1) == 2


def test_workers_that_die_before_they_serve_end_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A start that fails for ever must not be tried for ever."""
    with WorkerPool(workers=1, name="doomed") as pool:
        stop(pool.pids()[1])  # so that the task is there before anything else happens
        future = pool.submit(tasks.add, 1)
        launcher = pool._engine.launcher
        spawn = launcher.spawn
        monkeypatch.setattr(launcher, "spawn", lambda _, fds: spawn("not a number", fds))
        pool.kill_workers()
        error = future.exception(PATIENCE)
        assert isinstance(error, EngineError)
        assert "'doomed' has given up: its workers end as soon as they start" in str(error)
        with pytest.raises(EngineError, match="'doomed'") as caught:
            pool.submit(tasks.add, 1)
        assert caught.value is not error, "every caller gets an error of its own"


def test_killing_idle_workers_again_and_again_is_no_false_start():
    with WorkerPool(workers=1) as pool:
        for _ in range(8):
            worker = pool.pids()[1]
            pool.kill_workers()
            assert gone(worker)
            while pool.pids()[1:] in ([], [worker]):
                pool.statistics()
        assert pool.submit(tasks.add, 1).result(PATIENCE) == 2
