"""Shutdown, unfinished items and iteration, with Python 3.13's semantics on every version."""

from __future__ import annotations

import anyio
import pytest

from penstock import Queue
from penstock.queues import QueueShutDown


def test_a_shut_down_queue_is_drained():
    queue = Queue(4)
    queue.put_many("ab")
    assert not queue.is_shutdown
    queue.shutdown()
    queue.shutdown()
    assert queue.is_shutdown
    for put in (queue.put, queue.put_nowait, lambda item: queue.put(item, timeout=0)):
        with pytest.raises(QueueShutDown):
            put("c")
    assert queue.get() == "a"
    assert queue.get_nowait() == "b"
    for get in (queue.get, queue.get_nowait, queue.get_many, lambda: queue.get_many(min=0)):
        with pytest.raises(QueueShutDown):
            get()


def test_the_last_items_come_though_fewer_than_asked_for(thread, blocked):
    queue = Queue(8)
    queue.put(1)
    getter = thread(lambda: queue.get_many(8, min=4))
    blocked(queue, getters=1)
    queue.shutdown()
    assert getter.outcome() == [1]


def test_everybody_who_waits_is_told(thread, blocked):
    full, empty = Queue(1), Queue(1)
    full.put(0)
    putters = [thread(full.put, 1) for _ in range(3)]
    getters = [thread(empty.get) for _ in range(3)]
    blocked(full, putters=3)
    blocked(empty, getters=3)
    full.shutdown()
    empty.shutdown()
    for waiting in putters + getters:
        with pytest.raises(QueueShutDown):
            waiting.outcome()
    assert full.get() == 0


@pytest.mark.parametrize("maxsize", [0, 4])
def test_an_immediate_shutdown_drops_what_is_inside(maxsize, thread, blocked):
    queue = Queue(maxsize)
    queue.put_many(range(3))
    queue.get()
    joiner = thread(queue.join)
    queue.shutdown(immediate=True)
    with pytest.raises(QueueShutDown):
        queue.get_nowait()
    assert queue.statistics().unfinished == 1, "the item already taken is still at work"
    queue.task_done()
    joiner.outcome()


def test_join_waits_for_what_was_put(thread):
    queue = Queue()
    queue.join()
    queue.put_many(range(3))
    joiner = thread(queue.join)
    for _ in range(3):
        assert joiner.is_alive()
        queue.get()
        queue.task_done()
    joiner.outcome()


def test_threads_iterate_until_the_end(thread):
    queue = Queue(2)
    readers = [thread(lambda: list(queue)) for _ in range(3)]
    queue.put_many(range(100))
    queue.shutdown()
    outcomes = [reader.outcome() for reader in readers]
    assert all(outcome == sorted(outcome) for outcome in outcomes)
    assert sorted(item for outcome in outcomes for item in outcome) == list(range(100))


async def test_tasks_iterate_until_the_end(anyio_backend, parked):
    queue = Queue(2)
    seen = []

    async def read() -> None:
        seen.extend([item async for item in queue])

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(read)
        await parked(queue, getters=3)
        await queue.aput_many(range(100))
        queue.shutdown()
    assert sorted(seen) == list(range(100))


async def test_tasks_that_wait_are_told(anyio_backend, parked):
    full, empty = Queue(1), Queue(1)
    full.put(0)
    told = []

    async def expect(call, *arguments) -> None:
        with pytest.raises(QueueShutDown) as shut_down:
            await call(*arguments)
        told.append(shut_down.value.accepted)

    async with anyio.create_task_group() as group:
        group.start_soon(expect, full.aput, 1)
        group.start_soon(expect, full.aput_many, "ab")
        group.start_soon(expect, empty.aget)
        group.start_soon(expect, empty.aget_many)
        await parked(full, putters=2)
        await parked(empty, getters=2)
        full.shutdown()
        empty.shutdown()
    assert told == [0, 0, 0, 0]
    for call in (full.aput(1), full.aput_many("ab"), empty.aget(), empty.aget_many()):
        with pytest.raises(QueueShutDown):
            await call


async def test_ajoin_waits_for_what_was_put(anyio_backend):
    queue = Queue()
    await queue.ajoin()
    queue.put_many("ab")
    done = []

    async def join() -> None:
        await queue.ajoin()
        done.append(queue.statistics().unfinished)

    async with anyio.create_task_group() as group:
        group.start_soon(join)
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
            assert not done
            await queue.aget()
            queue.task_done()
    assert done == [0]
