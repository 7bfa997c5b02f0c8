"""The asynchronous side on asyncio, uvloop and trio."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import itertools
import logging
import sys
import time
import warnings
import weakref

import anyio
import pytest

from penstock import Queue
from penstock.errors import Expired, Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown


async def test_values_arrive_in_order(anyio_backend):
    queue = Queue(4)
    got = []

    async def read() -> None:
        for _ in range(1000):
            got.append(await queue.aget())  # noqa: PERF401 - one by one is what is tested

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for item in range(1000):
            await queue.aput(item)
    assert got == list(range(1000))


async def test_any_object_comes_back_from_an_await(anyio_backend, parked):
    items = [None, (), (1, 2), StopIteration(3), ValueError("x"), NotImplemented]
    ready = Queue()
    ready.put_many(items)
    assert [await ready.aget() for _ in items] == items
    waited = Queue()
    got = []

    async def read() -> None:
        for _ in items:
            got.append(await waited.aget())  # noqa: PERF401 - one by one is what is tested

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for item in items:
            await parked(waited, getters=1)
            waited.put(item)
    assert got == items


async def test_batches(anyio_backend):
    queue = Queue(3)
    got = []

    async def read() -> None:
        with pytest.raises(QueueShutDown):
            while True:
                got.extend(await queue.aget_many(7, min=2))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await queue.aput_many(range(1000))
        queue.shutdown()
    assert got == list(range(1000))


async def test_timeouts(anyio_backend):
    queue = Queue(2, name="q")
    with pytest.raises(QueueEmpty, match=r"'q' is empty after 0\.01 s"):
        await queue.aget(timeout=0.01)
    with pytest.raises(QueueEmpty, match=r"after 0"):
        await queue.aget(timeout=0)
    with pytest.raises(QueueFull, match=r"after 0\.01 s") as full:
        await queue.aput_many(range(5), timeout=0.01)
    assert full.value.accepted == 2
    with pytest.raises(QueueFull, match=r"after 0\.01 s"):
        await queue.aput(9, timeout=0.01)
    with pytest.raises(Expired):
        await queue.ajoin(timeout=0.01)
    assert await queue.aget_many() == [0, 1]
    figures = queue.statistics()
    assert figures.waiting_getters == figures.waiting_putters == 0


async def test_a_ready_await_does_not_yield_but_the_loop_gets_its_turn(anyio_backend):
    queue = Queue()
    queue.put_many(range(8000))
    turns = []
    reading = True

    async def watch() -> None:
        while reading:
            turns.append(queue.statistics().got)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        for _ in range(8000):
            await queue.aget()
        reading = False
    runs = [after - before for before, after in itertools.pairwise(turns)]
    assert max(runs) > 1, "every aget yielded"
    # Trio runs the tasks of a turn in any order, so two shares may follow each other.
    share = 1024 if anyio_backend[0] == "asyncio" else 2048
    assert max(runs) <= share, "a task took more than its share"


async def test_a_cancel_is_seen_while_items_are_ready(anyio_backend):
    queue = Queue()
    queue.put_many(range(4000))
    got = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(4000):
            got.append(await queue.aget())  # noqa: PERF401 - one by one is what is tested
    assert scope.cancelled_caught
    assert len(got) <= 1024
    assert queue.get_many(4000) == list(range(len(got), 4000)), "an item went with the cancel"


async def test_a_slow_taker_gives_a_turn_to_the_loop_by_the_clock(anyio_backend):
    queue = Queue()
    queue.put_many(range(100))
    got = 0
    with anyio.CancelScope() as scope:
        await anyio.lowlevel.checkpoint()
        await queue.aget()
        scope.cancel()
        for _ in range(99):
            end = time.perf_counter() + 100e-6
            while time.perf_counter() < end:
                pass
            await queue.aget()
            got += 1
    assert scope.cancelled_caught
    assert got <= 1


async def test_an_awaitable_passes_as_a_coroutine(anyio_backend):
    queue = Queue()
    queue.put(1)
    operation = queue.aget()
    assert isinstance(operation, collections.abc.Coroutine)
    assert inspect.isawaitable(operation)
    assert operation.__name__ == "aget"
    assert operation.__qualname__ == "Queue.aget"
    assert await operation == 1
    with pytest.raises(RuntimeError, match="already awaited"):
        await operation


async def test_a_task_group_runs_it(anyio_backend, parked):
    queue = Queue()
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aget)
        group.start_soon(queue.aput, 1)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_asyncio_takes_it_as_a_coroutine(anyio_backend, parked):
    queue = Queue(1)
    task = asyncio.create_task(queue.aget())
    await parked(queue, getters=1)
    queue.put(1)
    assert await task == 1
    queue.put(2)
    assert await asyncio.wait_for(queue.aget(), 1) == 2
    assert await asyncio.gather(queue.aput(3), queue.aget()) == [None, 3]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.aget(), 0.01)
    assert queue.statistics().waiting_getters == 0


async def test_one_that_is_closed_or_thrown_into_has_done_nothing(anyio_backend):
    queue = Queue()
    queue.put(1)
    queue.aget().close()
    for thrown in [(KeyError("x"),), (KeyError,), (KeyError, "x"), (KeyError, KeyError("x"), None)]:
        with pytest.raises(KeyError):
            queue.aget().throw(*thrown)
    queue.aput(2).close()
    assert queue.get_many() == [1]


def test_a_forgotten_await_is_told():
    queue = Queue(name="orders")
    with pytest.warns(RuntimeWarning, match=r"aput of queue 'orders' was never awaited"):
        queue.aput(1)
    assert queue.empty()


def test_outside_of_a_loop_it_says_what_is_missing():
    queue = Queue(name="orders")
    with pytest.raises(Misuse, match=r"aget of queue 'orders'.*no event loop") as misuse:
        queue.aget().send(None)
    assert "blocking twin" in misuse.value.hint


async def test_a_parked_task_that_nobody_knows_is_garbage(anyio_backend, parked):
    if anyio_backend[0] == "trio":
        pytest.skip("a trio task cannot be forgotten: its nursery waits for it")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        queue = Queue()
        seen = weakref.ref(queue)
        task = asyncio.create_task(queue.aget())
        await parked(queue, getters=1)
        gone = weakref.ref(task)
        del task, queue
        gc.collect()
        assert seen() is None
        assert gone() is None
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_eager_tasks(anyio_backend, parked):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    queue = Queue()
    queue.put(1)
    assert await asyncio.create_task(queue.aget()) == 1
    task = asyncio.create_task(queue.aget())
    await parked(queue, getters=1)
    queue.put(2)
    assert await task == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


async def test_an_operation_is_used_again_only_when_nobody_has_it(anyio_backend):
    queue = Queue(8)
    for _ in range(100):  # An operation before which the loop has its turn is not put aside.
        queue.put_many("xabcd")
        assert await queue.aget() == "x"
        kept = queue.aget()
        assert await kept == "a"
        others = [queue.aget() for _ in range(3)]
        assert kept not in others
        assert len({id(other) for other in others}) == 3
        assert [await other for other in others] == ["b", "c", "d"]
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            await kept
    assert await queue.aput("e") is None
    assert await queue.aget() == "e"


class Thing:
    """Can be referred to weakly."""


async def test_an_operation_that_has_ended_holds_nothing(anyio_backend):
    queue = Queue(4)
    item = Thing()
    for _ in range(3):
        await queue.aput(item)
        assert await queue.aget() is item
    gone, emptied = weakref.ref(item), weakref.ref(queue)
    del item
    assert gone() is None
    del queue
    assert emptied() is None


async def test_an_operation_that_has_ended_may_be_looked_at(anyio_backend):
    queue = Queue(4)
    await queue.aput(1)
    await queue.aget()
    operation = queue.aget(0)
    operations = [found for found in gc.get_objects() if type(found) is type(operation)]
    operation.close()
    for found in operations:
        assert repr(found).startswith("<")
        assert found.__name__
        assert found.__qualname__
        if found is not operation and found.__name__ == "ended":
            with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
                found.send(None)
            with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
                found.attempt()
    assert queue.empty()
