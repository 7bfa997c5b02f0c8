"""`imap` on every event loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.to_thread
import pytest

from penstock import WorkerPool
from penstock.errors import Closed, Misuse
from tests.workers import tasks
from tests.workers.steps import Step


async def each(items: Iterator[int] | range) -> AsyncIterator[int]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


@pytest.mark.parametrize("window", [None, 1, 100])
async def test_ordered(pool: WorkerPool, window: int | None):
    answers = [value async for value in pool.imap(tasks.double, range(300), window=window)]
    assert answers == [2 * number for number in range(300)]


async def test_as_they_come(pool: WorkerPool):
    answers = [value async for value in pool.imap(tasks.double, range(300), ordered=False)]
    assert sorted(answers) == [2 * number for number in range(300)]


async def test_items_from_an_async_source(pool: WorkerPool):
    answers = [value async for value in pool.imap(tasks.double, each(range(50)))]
    assert answers == [2 * number for number in range(50)]


async def test_nothing_to_do(pool: WorkerPool):
    assert [value async for value in pool.imap(tasks.double, [])] == []


async def test_a_quick_one_does_not_wait_for_a_slow_one_unless_ordered(
    pool: WorkerPool, step: Callable[[], Step]
):
    held = step()
    calls = [(*held.pipes, "slow"), None]
    async with pool.imap(slow_or_quick, calls, ordered=False) as results:
        assert await anext(results) == "quick"
        held.release()
        assert await anext(results) == "slow"
    async with pool.imap(slow_or_quick, calls) as results:
        held.release()
        assert [value async for value in results] == ["slow", "quick"]


def slow_or_quick(pipes):
    return tasks.hold(*pipes) if pipes else "quick"


@pytest.mark.parametrize("ordered", [True, False])
async def test_errors_come_out_in_place_and_iteration_goes_on(pool: WorkerPool, ordered: bool):
    results = pool.imap(tasks.odd_only, range(10), ordered=ordered)
    seen = []
    while True:
        try:
            seen.append(await anext(results))
        except StopAsyncIteration:
            break
        except ValueError as error:
            seen.append(str(error))
    expected = [number if number % 2 else f"{number} is even" for number in range(10)]
    assert seen == expected if ordered else Counter(seen) == Counter(expected)


async def test_an_item_that_does_not_pickle_is_an_error_in_its_place(pool: WorkerPool):
    results = pool.imap(tasks.identity, [1, 2, tasks.Unpicklable(), 4])
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(Misuse, match="does not pickle"):
        await anext(results)
    assert [value async for value in results] == [4]


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_error_of_the_source_comes_behind_the_results_of_what_it_gave(
    pool: WorkerPool, is_async: bool
):
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no third")

    results = pool.imap(tasks.double, each(source()) if is_async else source())
    assert [await anext(results), await anext(results)] == [2, 4]
    with pytest.raises(LookupError, match="no third"):
        await anext(results)
    with pytest.raises(StopAsyncIteration):
        await anext(results)


@pytest.mark.parametrize("ordered", [True, False])
async def test_the_window_bounds_what_is_asked_for(pool: WorkerPool, ordered: bool):
    asked = 0

    def source() -> Iterator[int]:
        nonlocal asked
        for number in range(100):
            asked += 1
            yield number

    received = 0
    async for _ in pool.imap(tasks.double, source(), ordered=ordered, window=5):
        received += 1
        assert asked <= received + 5
    assert received == 100


async def test_leaving_early_takes_back_what_has_not_begun(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1) as pool:
        calls = [held.pipes] * 8
        async with pool.imap(slow_or_quick, calls, window=8) as results:
            held.release()
            await anext(results)
            await anyio.to_thread.run_sync(held.begun)
            await anyio.to_thread.run_sync(held.begun)
        held.release()
    statistics = pool.statistics()
    assert (statistics.completed, statistics.cancelled) == (2, 6)


async def test_a_cancelled_step_loses_no_item(pool: WorkerPool, step: Callable[[], Step]):
    held = step()
    results = pool.imap(slow_or_quick, [(*held.pipes, "slow"), None, None], window=2)
    with anyio.move_on_after(0.05) as scope:
        await anext(results)
    assert scope.cancelled_caught
    held.release()
    assert [value async for value in results] == ["slow", "quick", "quick"]


async def test_an_item_pulled_before_the_gate_opened_is_not_lost(step: Callable[[], Step]):
    held = step()
    async with WorkerPool(workers=1, max_pending=1) as pool:
        pool.submit(tasks.hold, *held.pipes)
        results = pool.imap(tasks.double, [1, 2, 3])
        with anyio.move_on_after(0.05) as scope:
            await anext(results)
        assert scope.cancelled_caught
        held.release()
        assert [value async for value in results] == [2, 4, 6]


async def test_a_slow_task_gathers_no_callbacks(pool: WorkerPool, step: Callable[[], Step]):
    held = step()
    calls = [(*held.pipes, "slow"), *[None] * 300]
    async with pool.imap(slow_or_quick, calls, ordered=False) as results:
        for _ in range(300):
            assert await anext(results) == "quick"
        (slow,) = results._under_way
        assert len(slow._done_callbacks) <= 2
        held.release()
        assert await anext(results) == "slow"


async def test_a_pool_that_is_shut_down(pool: WorkerPool):
    async with WorkerPool(workers=1) as closed:
        pass
    with pytest.raises(Closed):
        await anext(closed.imap(tasks.double, range(10**12)))


@pytest.mark.parametrize("window", [0, -3, 2.0])
async def test_a_window_that_is_none(pool: WorkerPool, window):
    with pytest.raises(Misuse, match="window="):
        pool.imap(tasks.double, [1], window=window)
