"""`map`, as `Executor.map`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from penstock import WorkerPool
from penstock.errors import Full, Misuse
from penstock.workers import _pool
from tests.workers import tasks
from tests.workers.steps import PATIENCE, Step


@pytest.mark.parametrize("chunksize", [None, 1, 7, 5000])
def test_results_come_in_order(pool: WorkerPool, chunksize: int | None):
    answers = pool.map(tasks.double, range(1000), chunksize=chunksize)
    assert list(answers) == [2 * number for number in range(1000)]


def test_the_shortest_iterable_ends_it(pool: WorkerPool):
    assert list(pool.map(tasks.add, [1, 2, 3], [10, 20])) == [11, 22]
    assert list(pool.map(tasks.add, iter([1, 2, 3]), [10, 20])) == [11, 22]
    assert list(pool.map(tasks.add, [], [])) == []


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_results_before_the_error_are_handed_out(pool: WorkerPool, chunksize: int | None):
    answers = pool.map(tasks.odd_only, [1, 3, 5, 6, 7, 9], chunksize=chunksize)
    assert [next(answers), next(answers), next(answers)] == [1, 3, 5]
    with pytest.raises(ValueError, match="6 is even") as caught:
        next(answers)
    assert "in odd_only" in str(caught.value.__cause__)
    assert list(answers) == [], "as with any generator, the error is the end"


def test_the_timeout_is_for_all(
    pool_of_one: WorkerPool, step: Callable[[], Step], monkeypatch: pytest.MonkeyPatch
):
    held = step()
    now = 0.0
    monkeypatch.setattr(_pool, "time", SimpleNamespace(monotonic=lambda: now))
    calls = [(*held.pipes, 1), (*held.pipes, 2)]
    answers = pool_of_one.map(tasks.hold, *zip(*calls, strict=True), timeout=PATIENCE, chunksize=1)
    held.release()
    held.begun()
    held.begun()
    try:
        assert next(answers) == 1
        now = PATIENCE
        with pytest.raises(TimeoutError):
            next(answers)
    finally:
        held.release()


def test_leaving_it_takes_back_what_has_not_begun(step: Callable[[], Step]):
    held = step()
    with WorkerPool(workers=1) as pool:
        held_calls = [(*held.pipes, number) for number in range(5)]
        answers = pool.map(tasks.hold, *zip(*held_calls, strict=True), chunksize=1)
        held.release()
        assert next(answers) == 0
        held.begun()
        held.begun()
        answers.close()
        held.release(4)
        assert pool.submit(tasks.add, 1).result() == 2
        assert pool.statistics().completed == 3
        assert pool.statistics().cancelled == 3


def test_more_calls_than_max_pending(step: Callable[[], Step]):
    with WorkerPool(workers=2, max_pending=3) as pool:
        assert list(pool.map(tasks.double, range(100), chunksize=1)) == [2 * n for n in range(100)]


@pytest.mark.parametrize("chunksize", [0, -1, 1.5, True])
def test_a_chunksize_that_is_none(pool: WorkerPool, chunksize):
    with pytest.raises(Misuse, match="chunksize="):
        pool.map(tasks.double, [1], chunksize=chunksize)


async def test_on_a_loop_it_takes_back_what_it_could_not_place(step: Callable[[], Step], tmp_path):
    held, path = step(), tmp_path / "ran"
    with WorkerPool(workers=1, max_pending=3) as pool:
        pool.submit(tasks.hold, *held.pipes)
        held.begun()
        with pytest.raises(Full, match="max_pending"):
            pool.map(tasks.record, [str(path)] * 5, ["never"] * 5, chunksize=1)
        held.release()
    assert not path.exists()
