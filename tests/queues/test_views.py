"""`sync_q` and `async_q`: code written for janus and culsans changes its import only.

The programs below are written as their users write them, with nothing of penstock but the queue.
"""

from __future__ import annotations

import asyncio
import queue as standard
import sys

import anyio
import pytest

from penstock import LifoQueue, PriorityQueue, Queue
from penstock.errors import Misuse
from penstock.queues import culsans, janus


async def test_a_program_of_janus(anyio_backend, thread):
    def threaded(sync_q: janus.SyncQueue[int]) -> None:
        for i in range(100):
            sync_q.put(i)
        sync_q.join()
        with pytest.raises(janus.SyncQueueEmpty):
            sync_q.get_nowait()

    async def async_coro(async_q: janus.AsyncQueue[int]) -> None:
        for i in range(100):
            val = await async_q.get()
            assert val == i
            async_q.task_done()

    queue: janus.Queue[int] = janus.Queue()
    fut = thread(threaded, queue.sync_q)
    await async_coro(queue.async_q)
    await queue.async_q.join()
    fut.outcome()
    with pytest.raises(Misuse, match="not closed"):
        await queue.wait_closed()
    await queue.aclose()
    await queue.wait_closed()
    assert queue.closed
    assert queue.sync_q.closed
    with pytest.raises(janus.AsyncQueueShutDown):
        await queue.async_q.get()
    with pytest.raises(janus.SyncQueueShutDown):
        queue.sync_q.put(1)


async def test_a_program_of_culsans(anyio_backend, thread):
    queue: culsans.PriorityQueue[tuple[int, str]] = culsans.PriorityQueue(maxsize=4)

    def produce(sync_q: culsans.SyncQueue[tuple[int, str]]) -> None:
        for item in [(2, "b"), (1, "a"), (3, "c")]:
            sync_q.put(item, timeout=30)

    thread(produce, queue.sync_q).outcome()
    assert queue.async_q.peekable()
    assert await queue.async_q.peek() == (1, "a")
    assert queue.sync_q.peek_nowait() == (1, "a")
    queue.async_q.maxsize = 8
    assert queue.sync_q.maxsize == queue.maxsize == 8
    assert await queue.async_q.get() == (1, "a")
    assert (queue.putting, queue.getting, queue.waiting) == (0, 0, 0)
    assert queue.async_q.clearable()
    queue.sync_q.clear()
    assert queue.unfinished_tasks == queue.sync_q.unfinished_tasks == 1
    queue.async_q.task_done()
    await queue.async_q.join()
    with pytest.raises(culsans.QueueEmpty):
        queue.async_q.get_nowait()
    queue.close()
    with pytest.raises(culsans.QueueShutDown):
        queue.async_q.get_nowait()


@pytest.mark.parametrize("module", [janus, culsans])
def test_every_name_is_there_and_the_orders_are_right(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
    for kind, expected in [
        ("Queue", [2, 1, 3]),
        ("LifoQueue", [3, 1, 2]),
        ("PriorityQueue", [1, 2, 3]),
    ]:
        queue = getattr(module, kind)[int](8)
        queue.put_many([2, 1, 3])
        assert queue.sync_q.qsize() == 3
        assert queue.get_many() == expected


@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
@pytest.mark.parametrize("side", ["sync_q", "async_q"])
def test_the_errors_are_the_standard_librarys_own(kind, side):
    view = getattr(kind(1), side)
    for empty in (standard.Empty, asyncio.QueueEmpty):
        with pytest.raises(empty):
            view.get_nowait()
    view.put_nowait(1)
    assert view.full()
    assert len(view) == view.qsize() == 1
    for full in (standard.Full, asyncio.QueueFull):
        with pytest.raises(full):
            view.put_nowait(2)
    view.shutdown(immediate=True)
    assert view.is_shutdown
    ended = (standard.ShutDown, asyncio.QueueShutDown) if sys.version_info >= (3, 13) else ()
    for shut_down in ended:
        with pytest.raises(shut_down):
            view.get_nowait()
    with pytest.raises(ValueError, match="too many times"):
        view.task_done()


async def test_tasks_wait_on_their_side(anyio_backend, parked):
    queue = Queue(1)
    got = []

    async def read() -> None:
        got.append(await queue.async_q.get())
        got.append(await queue.async_q.get())

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await parked(queue, getters=1)
        await queue.async_q.put("a")
        await queue.async_q.put("b")
    assert got == ["a", "b"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_takes_its_operations_as_coroutines(anyio_backend, parked):
    queue = Queue(1)
    task = asyncio.create_task(queue.async_q.get())
    await parked(queue, getters=1)
    await asyncio.wait_for(queue.async_q.put("x"), 30)
    assert await asyncio.gather(task) == ["x"]


def test_a_view_says_what_it_is_of():
    queue = Queue(2, name="orders")
    assert repr(queue.sync_q) == "<SyncQueue of <Queue 'orders', maxsize 2, 0 items>>"
    assert repr(queue.async_q) == "<AsyncQueue of <Queue 'orders', maxsize 2, 0 items>>"
    assert queue.sync_q
    assert queue.sync_q.wrapped is queue
