"""Cancelled callers and tasks: what was committed is run, and nothing waits for ever.

asyncio's own cancellation heeds no shield, and comes at any await.
"""

from __future__ import annotations

import asyncio

import anyio
import anyio.to_thread
import pytest

from penstock import Saga, SagaStore, saga
from penstock._durable.engines import Address
from tests.conftest import BACKENDS

NATIVE = pytest.mark.parametrize("anyio_backend", BACKENDS[:2])


def counting(name="book"):
    made = Saga(name)
    ran = []

    @made.step()
    async def a(context):
        ran.append(context)
        return context

    return made, ran


async def test_who_waits_for_an_outcome_may_go(url):
    booking = Saga("book")
    go = anyio.Event()

    @booking.step()
    async def a(context):
        await go.wait()

    async with SagaStore.open(url, sagas=[booking]) as store:
        handle = await store.start(booking, 1, key="k")
        for _ in range(3):
            with anyio.move_on_after(0.01):
                await handle.outcome()
        with anyio.move_on_after(0.01):
            await store.run(booking, 1, key="k")
        go.set()
        assert (await handle.outcome()).state == "completed"


async def test_a_start_whose_caller_is_cancelled_is_run_or_was_never_made(url):
    booking, ran = counting()
    async with SagaStore.open(url, sagas=[booking]) as store:
        await store.recover()
        for number in range(20):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.start(booking, number)
        await store.recover()
        counts = await store.counts()
        assert counts.get("book", {}).get("completed", 0) == len(ran)
        assert set(counts.get("book", {})) <= {"completed"}


@NATIVE
@pytest.mark.parametrize("turns", range(4))
async def test_a_start_that_is_cancelled_natively_is_run(file, turns):
    """It was handed over, so it is committed, and nobody else would run it."""
    booking, ran = counting()
    async with SagaStore.open(file, sagas=[booking], lease=600.0) as store:
        await store.recover()
        for number in range(5):
            task = asyncio.ensure_future(store.start(booking, number))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await store.recover()
        counts = (await store.counts()).get("book", {})
        assert counts.get("completed", 0) == len(ran)
        assert set(counts) <= {"completed"}


@NATIVE
async def test_a_saga_whose_task_is_cancelled_natively_is_begun_anew(file):
    """By a step that cancels its own task, or a library that leaves a cancellation behind."""
    booking = Saga("book")
    ran = []

    @booking.step()
    async def a(context):
        ran.append(saga.current().fence)
        if len(ran) == 1:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    async with SagaStore.open(file, sagas=[booking], lease=600.0) as store:
        assert (await store.run(booking, 1)).state == "completed"
    assert ran == [1, 2]


@NATIVE
async def test_a_cancellation_left_behind_loses_no_write(file):
    """It comes at the await after the step, which is the write of its end."""
    booking = Saga("book")
    ran = []

    @booking.step()
    async def a(context):
        ran.append(("a", saga.current().fence))
        if len(ran) == 1:
            asyncio.current_task().cancel()

    @booking.step()
    async def b(context):
        ran.append(("b", saga.current().fence))

    async with SagaStore.open(file, sagas=[booking], lease=600.0) as store:
        assert (await store.run(booking, 1)).state == "completed"
    assert ran == [("a", 1), ("b", 2)], "a had been written down"


@NATIVE
async def test_leaving_by_native_cancellation_gives_everything_back(file):
    booking = Saga("book")
    begun = asyncio.Event()

    @booking.step()
    async def a(context):
        begun.set()
        if saga.current().fence == 1:
            await anyio.sleep_forever()

    async def main():
        async with SagaStore.open(file, sagas=[booking], lease=600.0) as store:
            await store.start(booking, 1, key="k")
            await asyncio.sleep(3600)

    task = asyncio.ensure_future(main())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.recover()
        assert (await store.get("book", "k")).state == "completed"


async def test_a_store_that_is_cancelled_while_it_opens_is_closed(file):
    booking, _ran = counting()
    for _ in range(5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with SagaStore.open(file, sagas=[booking]):
                pass
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.run(booking, 1)
    # The last user has closed the file, so its write-ahead log is gone.
    engine = await anyio.to_thread.run_sync(lambda: Address(file).open("saga"))
    assert engine._file.users == 1
    await anyio.to_thread.run_sync(engine.close)


@NATIVE
async def test_a_store_that_is_cancelled_natively_while_it_opens_is_closed(file):
    booking, _ran = counting()
    for turns in range(6):

        async def main():
            async with SagaStore.open(file, sagas=[booking]):
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(main())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    users = 0
    while users != 1:  # a thread that opens cannot be stopped: it closes by itself
        engine = await anyio.to_thread.run_sync(lambda: Address(file).open("saga"))
        users = engine._file.users
        await anyio.to_thread.run_sync(engine.close)


async def test_a_store_that_is_left_while_it_starts(url):
    booking, _ran = counting()
    for _ in range(5):
        async with SagaStore.open(url, sagas=[booking]):
            pass
        async with SagaStore.open(url, sagas=[booking]) as store:
            await store.start(booking, 1)


async def test_who_waits_when_the_store_is_closed_hears_of_it(file):
    from penstock.errors import Closed

    booking = Saga("book")
    begun = anyio.Event()

    @booking.step()
    async def a(context):
        begun.set()
        await anyio.sleep_forever()

    async def wait():
        with pytest.raises(Closed):
            await handle.outcome()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with SagaStore.open(file, sagas=[booking]) as store:
                handle = await store.start(booking, 1)
                await begun.wait()
                for _ in range(3):
                    group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
