"""A cancel in the very tick in which an item comes loses nothing.

In every test the queue is empty and the getter parked when the item comes: with a backlog a
cancelled getter has nothing to lose, and the test would prove nothing. The last test runs the
same sequence against a queue that does lose items, so the sequence can show a loss.
"""

from __future__ import annotations

import asyncio

import anyio
import pytest

from penstock import Queue
from tests.loops import LOOPS, NATIVE

natively = pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)


@natively
@pytest.mark.parametrize("turns", [0, 1])
async def test_native_cancel_after_an_item_from_this_loop(anyio_backend, parked, turns):
    queue = Queue(4)
    task = asyncio.create_task(queue.aget())
    await parked(queue, getters=1)
    queue.put("item")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        got = [await task]
    except asyncio.CancelledError:
        got = []
    assert got + queue.get_many(min=0) == ["item"]
    assert bool(got) == (turns > 0), "not the tick that this test is about"
    assert queue.statistics().waiting_getters == 0


@natively
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_native_cancel_after_an_item_from_a_thread(anyio_backend, parked, thread, turns):
    queue = Queue(4)
    task = asyncio.create_task(queue.aget())
    await parked(queue, getters=1)
    thread(queue.put, "item").outcome()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        got = [await task]
    except asyncio.CancelledError:
        got = []
    assert got + queue.get_many(min=0) == ["item"]


@natively
async def test_a_cancelled_getter_passes_its_wake_on(anyio_backend, parked):
    queue = Queue(4)
    first = asyncio.create_task(queue.aget())
    await parked(queue, getters=1)
    second = asyncio.create_task(queue.aget())
    await parked(queue, getters=2)
    queue.put("item")
    first.cancel()
    assert await asyncio.wait_for(second, 10) == "item"
    assert first.cancelled()


@natively
async def test_a_cancelled_putter_has_put_nothing_and_passes_its_wake_on(anyio_backend, parked):
    queue = Queue(1)
    queue.put(0)
    first = asyncio.create_task(queue.aput(1))
    await parked(queue, putters=1)
    second = asyncio.create_task(queue.aput(2))
    await parked(queue, putters=2)
    assert queue.get() == 0
    first.cancel()
    await asyncio.wait_for(second, 10)
    assert first.cancelled()
    assert queue.get_many() == [2]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("source", ["loop", "thread"])
async def test_scope_cancel_in_the_same_tick(anyio_backend, parked, thread, turns, source):
    queue = Queue(4)
    got = []
    async with anyio.create_task_group() as group:

        async def read() -> None:
            got.append(await queue.aget())

        group.start_soon(read)
        await parked(queue, getters=1)
        if source == "loop":
            queue.put("item")
        else:
            thread(queue.put, "item").outcome()
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert got + queue.get_many(min=0) == ["item"]
    assert queue.statistics().waiting_getters == 0


async def test_a_cancelled_batch_of_gets_takes_nothing(anyio_backend, parked):
    queue = Queue(8)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aget_many, 8, 3)
        await parked(queue, getters=1)
        queue.put_many("ab")
        group.cancel_scope.cancel()
    assert queue.get_many() == ["a", "b"]


async def test_a_cancelled_batch_of_puts_keeps_its_first_items(anyio_backend, parked):
    queue = Queue(2)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aput_many, range(10))
        await parked(queue, putters=1)
        assert queue.get() == 0
        group.cancel_scope.cancel()
    left = queue.get_many(min=0)
    assert left in ([1], [1, 2])


async def test_a_deadline_that_meets_the_item_returns_or_leaves_it(anyio_backend, thread):
    queue = Queue(4)
    for number in range(50):
        putter = thread(queue.put, number)
        got = []
        with anyio.move_on_after(0.0001):
            got.append(await queue.aget())
        putter.outcome()
        assert got + queue.get_many(min=0) == [number]


@natively
async def test_the_same_sequence_shows_the_loss_where_items_are_handed_over(anyio_backend):
    send, receive = anyio.create_memory_object_stream[str](4)
    with send, receive:
        task = asyncio.create_task(receive.receive())
        while receive.statistics().tasks_waiting_receive == 0:
            await anyio.lowlevel.checkpoint()
        send.send_nowait("item")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(anyio.WouldBlock):
            receive.receive_nowait()
