"""The sentences of `concurrent.futures` that hold for `submit` and its futures."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable

import pytest

from penstock import WorkerPool
from penstock.errors import Misuse
from penstock.workers import RemoteError
from penstock.workers._task import Task
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step


def test_a_pool_is_an_executor(pool: WorkerPool):
    assert isinstance(pool, concurrent.futures.Executor)
    future = pool.submit(tasks.join, "a", "b", by="/")
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == "a/b"
    assert future.done()
    assert future.exception() is None
    assert not future.cancel()
    assert not future.cancelled()


def test_wait_and_as_completed(pool: WorkerPool, step: Callable[[], Step]):
    held = step()
    slow = pool.submit(tasks.hold, *held.pipes, "slow")
    quick = pool.submit(tasks.identity, "quick")
    done, waiting = concurrent.futures.wait(
        [slow, quick], return_when=concurrent.futures.FIRST_COMPLETED, timeout=PATIENCE
    )
    assert (done, waiting) == ({quick}, {slow})
    each = concurrent.futures.as_completed([slow, quick], timeout=PATIENCE)
    assert next(each) is quick
    held.release()
    assert next(each).result() == "slow"
    failing = pool.submit(tasks.odd_only, 2)
    done, _ = concurrent.futures.wait(
        [failing], return_when=concurrent.futures.FIRST_EXCEPTION, timeout=PATIENCE
    )
    assert done == {failing}


def test_a_running_task_says_so_and_cannot_be_cancelled(
    pool_of_one: WorkerPool, step: Callable[[], Step]
):
    held = step()
    running = pool_of_one.submit(tasks.hold, *held.pipes, "ran")
    waiting = [pool_of_one.submit(tasks.identity, number) for number in range(5)]
    held.begun()
    assert running.running()
    assert not running.cancel()
    assert not waiting[0].running()
    assert all(future.cancel() for future in waiting), "next in line there, or queued: taken back"
    assert all(future.cancelled() for future in waiting)
    assert waiting[0].cancel(), "again"
    with pytest.raises(concurrent.futures.CancelledError):
        waiting[0].result(0)
    held.release()
    assert running.result(PATIENCE) == "ran"
    assert not running.running()


def test_quick_tasks_do_not_wait_behind_a_slow_one_while_a_worker_is_idle(
    step: Callable[[], Step],
):
    held = step()
    with WorkerPool(workers=2) as pool:
        for _ in range(2):
            # Quick tasks are laid many at a time, so some come to lie behind the slow one.
            quick = [pool.submit(tasks.identity, number) for number in range(200)]
            slow = pool.submit(tasks.hold, *held.pipes)
            quick += [pool.submit(tasks.identity, number) for number in range(200, 400)]
            held.begun()
            assert [future.result(PATIENCE) for future in quick] == list(range(400))
            assert not slow.done()
            held.release()
            slow.result(PATIENCE)


def test_result_waits_no_longer_than_it_is_told(pool: WorkerPool, step: Callable[[], Step]):
    held = step()
    future = pool.submit(tasks.hold, *held.pipes, "at last")
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    held.release()
    assert future.result(PATIENCE) == "at last", "waiting in vain has ended nothing"


def test_the_workers_traceback_and_causes_come_along(pool: WorkerPool):
    error = pool.submit(tasks.raise_chained).exception()
    assert isinstance(error, ValueError)
    text = str(error.__cause__)
    assert "ZeroDivisionError" in text
    assert "in raise_here" in text
    assert "in raise_chained" in text
    assert "_worker.py" not in text, "the frames of the pool say nothing to the user"


def test_notes_of_an_exception_come_along(pool: WorkerPool):
    noted = ValueError("wrong")
    noted.add_note("in line 7")
    error = pool.submit(tasks.raise_this, noted).exception()
    assert error.__notes__ == ["in line 7"]


@pytest.mark.parametrize(
    ("function", "kind"),
    [(tasks.raise_awkward, "Awkward: salt and pepper"), (tasks.raise_stubborn, "Stubborn: I stay")],
)
def test_an_exception_that_does_not_pickle_is_described(pool: WorkerPool, function, kind):
    error = pool.submit(function).exception()
    assert isinstance(error, RemoteError)
    assert kind in str(error)
    assert "__reduce__" in error.hint
    assert function.__name__ in str(error.__cause__)
    assert pool.submit(tasks.add, 1).result() == 2


@pytest.mark.parametrize("error", [SystemExit(7), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_ends_the_task_and_not_the_worker(pool: WorkerPool, error):
    before = set(pool.pids())
    raised = pool.submit(tasks.raise_this, error).exception()
    assert type(raised) is type(error)
    assert raised.args == error.args
    assert pool.submit(tasks.add, 1).result() == 2
    assert set(pool.pids()) == before


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda: 1, ()),
        (tasks.identity, (threading.Lock(),)),
        (tasks.identity, (tasks.Unpicklable(),)),
        (tasks.identity, (lambda: 1,)),
    ],
)
def test_a_call_that_does_not_pickle_is_refused_at_once(pool: WorkerPool, function, arguments):
    submitted = pool.statistics().submitted
    with pytest.raises(Misuse, match="does not pickle") as caught:
        pool.submit(function, *arguments)
    assert caught.value.__cause__ is not None
    assert pool.statistics().submitted == submitted
    assert pool.submit(tasks.add, 1).result() == 2


def test_an_argument_that_does_not_unpickle(pool: WorkerPool):
    awkward = tasks.Rebuilt(tasks.fail_when_rebuilt)
    with pytest.raises(LookupError, match="cannot be rebuilt") as caught:
        pool.submit(tasks.identity, awkward).result()
    assert "fail_when_rebuilt" in str(caught.value.__cause__)
    assert pool.submit(tasks.add, 1).result() == 2


def test_a_result_that_does_not_pickle(pool: WorkerPool):
    with pytest.raises(Misuse, match=r"result of .*return_unpicklable does not pickle") as caught:
        pool.submit(tasks.return_unpicklable).result()
    assert "this one stays at home" in str(caught.value)
    assert pool.submit(tasks.add, 1).result() == 2


def test_a_result_that_does_not_unpickle(pool: WorkerPool):
    with pytest.raises(LookupError, match="cannot be rebuilt") as caught:
        pool.submit(tasks.return_rebuilt, "fail_when_rebuilt").result()
    assert "could not be unpickled" in caught.value.__notes__[-1]
    assert pool.submit(tasks.add, 1).result() == 2


@pytest.mark.timeout(30)
def test_a_result_whose_unpickling_exits_harms_nobody(pool: WorkerPool):
    with pytest.raises(SystemExit):
        pool.submit(tasks.return_rebuilt, "exit_when_rebuilt").result(PATIENCE / 2)
    assert pool.submit(tasks.add, 1).result(PATIENCE / 2) == 2


def test_what_is_not_callable(pool: WorkerPool):
    with pytest.raises(TypeError, match="not callable"):
        pool.submit(5).result()


async def test_a_coroutine_function_has_no_result_to_carry(pool: WorkerPool, anyio_backend):
    with pytest.raises(Misuse, match="coroutine function"):
        await pool.run(anyio_function, 1)


async def anyio_function(value: int) -> int:
    return value


# -- callbacks run on the pool's own thread


@pytest.mark.timeout(30)
def test_a_callback_that_raises_anything_harms_nobody(pool: WorkerPool, caplog):
    future = pool.submit(tasks.add, 1)
    called = threading.Event()

    def callback(_: object) -> None:
        called.set()
        raise SystemExit

    future.add_done_callback(callback)
    assert called.wait(PATIENCE)
    held = [pool.submit(tasks.add, number) for number in range(50)]
    assert [future.result(PATIENCE / 2) for future in held] == list(range(1, 51))


@pytest.mark.timeout(30)
def test_a_callback_may_submit_though_all_places_are_taken(step: Callable[[], Step]):
    held = step()
    followers: list[concurrent.futures.Future[int]] = []
    submitted = threading.Event()

    def follow(_: object) -> None:
        followers.append(pool.submit(tasks.add, 1))
        followers.append(pool.submit(tasks.add, 2))
        submitted.set()

    with WorkerPool(workers=1, max_pending=1) as pool:
        first = pool.submit(tasks.hold, *held.pipes)
        first.add_done_callback(follow)
        held.release()
        assert submitted.wait(PATIENCE / 2), "the pool's thread waits for itself"
        assert [future.result(PATIENCE) for future in followers] == [2, 3]


def test_a_callback_may_shut_the_pool_down():
    pool = WorkerPool(workers=1)
    done = threading.Event()
    with pool:

        def end(_: object) -> None:
            pool.shutdown(wait=True)
            done.set()

        pool.submit(tasks.add, 1).add_done_callback(end)
        assert done.wait(PATIENCE)


# -- races that used to end the pool


@pytest.mark.timeout(30)
def test_cancelling_a_task_whose_result_is_being_taken_in():
    with WorkerPool(workers=1) as pool:
        future = pool.submit(tasks.return_rebuilt, "pause_when_rebuilt")
        assert tasks.pausing.wait(PATIENCE)
        assert not future.cancel(), "it has been done"
        tasks.resume.set()
        assert future.result(PATIENCE / 2) == "taken in"
        assert pool.submit(tasks.add, 1).result(PATIENCE / 2) == 2


@pytest.mark.timeout(30)
def test_cancelling_by_two_threads_at_once_counts_once(
    step: Callable[[], Step], monkeypatch: pytest.MonkeyPatch
):
    held = step()
    withdraw = Task.withdraw

    def slowly(task: Task) -> object:
        os.sched_yield()  # between the pool's decision and the future's
        return withdraw(task)

    monkeypatch.setattr(Task, "withdraw", slowly)
    with WorkerPool(workers=1, max_pending=101) as pool:
        first = pool.submit(tasks.hold, *held.pipes)
        held.begun()
        for _ in range(20):
            waiting = [pool.submit(tasks.identity, number) for number in range(100)]
            meet = threading.Barrier(2)

            def cancel(waiting=waiting, meet=meet) -> None:
                for future in waiting:
                    meet.wait(PATIENCE)
                    assert future.cancel()

            with concurrent.futures.ThreadPoolExecutor(2) as threads:
                for done in [threads.submit(cancel) for _ in range(2)]:
                    done.result(PATIENCE)
        assert pool.statistics().cancelled == 2000
        held.release()
        first.result(PATIENCE)
        # Had a place been given back twice, or never, this would block or be let in.
        again = [pool.submit(tasks.identity, number) for number in range(101)]
        assert [future.result(PATIENCE) for future in again] == list(range(101))
