"""What the documentation of CPython 3.13 says of `queue` and `asyncio.Queue`, sentence by sentence.

Each entry of the table is one sentence in our words and the test that shows it. The tests of the
`queue` part run against penstock and, where the running Python has it, against the standard
library's own class: a sentence that was misunderstood fails there. What differs by intent is at
the end.
"""

from __future__ import annotations

import asyncio
import queue as standard
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import penstock
from penstock.errors import Misuse
from penstock.queues import QueueShutDown

HAS_SHUTDOWN = sys.version_info >= (3, 13)
ShutDown = standard.ShutDown if HAS_SHUTDOWN else QueueShutDown
AsyncShutDown = asyncio.QueueShutDown if HAS_SHUTDOWN else QueueShutDown

BLOCKING: list[Any] = []
AWAITED: list[Any] = []


def says(table: list[Any], where: str, sentence: str) -> Callable[[Any], Any]:
    """Puts the decorated test beside the sentence it shows."""

    def add(test: Any) -> Any:
        needs_shutdown = "shutdown" in where
        table.append(pytest.param(test, needs_shutdown, id=f"{where}: {sentence}"))
        return test

    return add


@pytest.fixture(params=["penstock", "standard library"])
def module(request: pytest.FixtureRequest) -> Any:
    return penstock if request.param == "penstock" else standard


# --- queue -----------------------------------------------------------------------------------


@says(BLOCKING, "Queue", "the first item added is the first retrieved")
def fifo(module, thread):
    queue = module.Queue()
    for item in range(5):
        queue.put(item)
    assert [queue.get() for _ in range(5)] == list(range(5))


@says(BLOCKING, "LifoQueue", "the item added last is the first retrieved")
def lifo(module, thread):
    queue = module.LifoQueue()
    for item in range(5):
        queue.put(item)
    assert [queue.get() for _ in range(5)] == [4, 3, 2, 1, 0]


@says(BLOCKING, "PriorityQueue", "the entry with the lowest value is retrieved first")
def priority(module, thread):
    queue = module.PriorityQueue()
    for item in [(3, "c"), (1, "a"), (2, "b")]:
        queue.put(item)
    assert [queue.get()[1] for _ in range(3)] == ["a", "b", "c"]


@says(BLOCKING, "maxsize", "it is the upper limit of items that may be inside")
def limit(module, thread):
    for kind in (module.Queue, module.LifoQueue, module.PriorityQueue):
        queue = kind(maxsize=2)
        queue.put(1)
        queue.put(2)
        with pytest.raises(standard.Full):
            queue.put(3, block=False)


@says(BLOCKING, "maxsize", "an insertion blocks at the limit until items are consumed")
def blocks_at_the_limit(module, thread):
    queue = module.Queue(1)
    queue.put(1)
    putter = thread(queue.put, 2)
    putter.join(0.05)
    assert putter.is_alive()
    assert queue.get() == 1
    putter.outcome()
    assert queue.get() == 2


@says(BLOCKING, "maxsize", "zero, the default, is an infinite size")
def infinite(module, thread):
    queue = module.Queue()
    for item in range(10_000):
        queue.put_nowait(item)
    assert not queue.full()
    assert queue.maxsize == 0


@says(BLOCKING, "Empty", "a get that does not block raises it when the queue is empty")
def empty(module, thread):
    queue = module.Queue()
    for get in (queue.get_nowait, lambda: queue.get(block=False), lambda: queue.get(False)):
        with pytest.raises(standard.Empty):
            get()


@says(BLOCKING, "Full", "a put that does not block raises it when the queue is full")
def full(module, thread):
    queue = module.Queue(1)
    queue.put(0)
    for put in (queue.put_nowait, lambda item: queue.put(item, False)):
        with pytest.raises(standard.Full):
            put(1)


@says(BLOCKING, "ShutDown (shutdown)", "put and get raise it on a queue that has been shut down")
def shut_down(module, thread):
    queue = module.Queue()
    queue.shutdown()
    for call in (queue.get, queue.get_nowait, lambda: queue.put(1), lambda: queue.put_nowait(1)):
        with pytest.raises(ShutDown):
            call()


@says(BLOCKING, "qsize", "it returns the approximate size")
def qsize(module, thread):
    queue = module.Queue()
    assert queue.qsize() == 0
    queue.put(1)
    assert queue.qsize() == 1


@says(BLOCKING, "empty", "it is true if the queue is empty")
def is_empty(module, thread):
    queue = module.Queue()
    assert queue.empty()
    queue.put(1)
    assert not queue.empty()


@says(BLOCKING, "full", "it is true if the queue is full")
def is_full(module, thread):
    queue = module.Queue(1)
    assert not queue.full()
    queue.put(1)
    assert queue.full()


@says(BLOCKING, "put", "with block and no timeout it waits until a slot is available")
def put_waits(module, thread):
    queue = module.Queue(1)
    queue.put(1)
    putter = thread(lambda: queue.put(2, True, None))
    assert queue.get() == 1
    assert queue.get() == 2
    putter.outcome()


@says(BLOCKING, "put", "with a timeout it blocks at most that long and raises Full")
def put_expires(module, thread):
    queue = module.Queue(1)
    queue.put(1)
    with pytest.raises(standard.Full):
        queue.put(2, True, 0.01)
    assert queue.get() == 1
    assert queue.empty()


@says(BLOCKING, "put", "without block the timeout is ignored")
def put_ignores_the_timeout(module, thread):
    queue = module.Queue(1)
    queue.put(1, False, -1)
    with pytest.raises(standard.Full):
        queue.put(2, False, -1)


@says(BLOCKING, "put", "a negative timeout is a ValueError")
def put_refuses(module, thread):
    queue = module.Queue(1)
    with pytest.raises(ValueError, match="timeout"):
        queue.put(1, True, -1)


@says(BLOCKING, "get", "it removes and returns an item; with block it waits until there is one")
def get_waits(module, thread):
    queue = module.Queue()
    getter = thread(queue.get)
    queue.put("x")
    assert getter.outcome() == "x"
    assert queue.empty()


@says(BLOCKING, "get", "with a timeout it blocks at most that long and raises Empty")
def get_expires(module, thread):
    with pytest.raises(standard.Empty):
        module.Queue().get(True, 0.01)


@says(BLOCKING, "get", "without block the timeout is ignored")
def get_ignores_the_timeout(module, thread):
    with pytest.raises(standard.Empty):
        module.Queue().get(False, -1)


@says(BLOCKING, "get", "a negative timeout is a ValueError")
def get_refuses(module, thread):
    with pytest.raises(ValueError, match="timeout"):
        module.Queue().get(True, -1)


@says(BLOCKING, "task_done", "each get is followed by one; then a join goes on")
def task_done(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.put(2)
    joiner = thread(queue.join)
    for _ in range(2):
        assert joiner.is_alive()
        queue.get()
        queue.task_done()
    joiner.outcome()


@says(BLOCKING, "task_done", "more calls than items are a ValueError")
def task_done_too_often(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.task_done()
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


@says(BLOCKING, "join", "it blocks until all items have been gotten and processed")
def join(module, thread):
    queue = module.Queue()
    queue.join()
    queue.put(1)
    joiner = thread(queue.join)
    queue.get()
    joiner.join(0.05)
    assert joiner.is_alive(), "gotten, not processed"
    queue.task_done()
    joiner.outcome()


@says(BLOCKING, "shutdown", "the queue can no longer grow: put raises ShutDown")
def shutdown_refuses_puts(module, thread):
    queue = module.Queue(2)
    queue.put(1)
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(2)
    assert queue.qsize() == 1


@says(BLOCKING, "shutdown", "by default gets go on until the queue is empty, then raise")
def shutdown_drains(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    assert [queue.get(), queue.get_nowait()] == [1, 2]
    with pytest.raises(ShutDown):
        queue.get()


@says(BLOCKING, "shutdown", "putters that are blocked are unblocked and raise")
def shutdown_unblocks_putters(module, thread):
    queue = module.Queue(1)
    queue.put(1)
    putters = [thread(queue.put, n) for n in (2, 3)]
    queue.shutdown()
    for putter in putters:
        with pytest.raises(ShutDown):
            putter.outcome()
    assert queue.get() == 1


@says(BLOCKING, "shutdown", "getters that are blocked are unblocked and raise")
def shutdown_unblocks_getters(module, thread):
    queue = module.Queue()
    getters = [thread(queue.get) for _ in range(2)]
    queue.shutdown()
    for getter in getters:
        with pytest.raises(ShutDown):
            getter.outcome()


@says(BLOCKING, "shutdown", "task_done goes on for items that were removed; join waits for it")
def shutdown_keeps_tasks(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.get()
    queue.shutdown()
    joiner = thread(queue.join)
    joiner.join(0.05)
    assert joiner.is_alive()
    queue.task_done()
    joiner.outcome()


@says(BLOCKING, "shutdown(immediate)", "the queue is drained, and get raises at once")
def immediate_drains(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.put(2)
    queue.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        queue.get()
    assert queue.qsize() == 0


@says(BLOCKING, "shutdown(immediate)", "unfinished tasks fall by the number drained; join goes on")
def immediate_ends_join(module, thread):
    queue = module.Queue()
    queue.put(1)
    joiner = thread(queue.join)
    queue.shutdown(immediate=True)
    joiner.outcome()


@says(BLOCKING, "shutdown(immediate)", "an item in hand is still waited for by join")
def immediate_keeps_tasks(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.put(2)
    queue.get()
    queue.shutdown(immediate=True)
    joiner = thread(queue.join)
    joiner.join(0.05)
    assert joiner.is_alive()
    queue.task_done()
    joiner.outcome()


@says(BLOCKING, "shutdown", "it may be called again, and become immediate")
def shutdown_again(module, thread):
    queue = module.Queue()
    queue.put(1)
    queue.shutdown()
    queue.shutdown()
    queue.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        queue.get()


# --- asyncio.Queue, by the view that has its names -------------------------------------------


@says(AWAITED, "Queue", "first in, first out; maxsize zero is infinite")
async def async_fifo(parked):
    queue = penstock.Queue().async_q
    for item in range(300):
        await queue.put(item)
    assert not queue.full()
    assert [await queue.get() for _ in range(300)] == list(range(300))


@says(AWAITED, "maxsize", "await put() blocks at the limit until an item is removed by get()")
async def async_limit(parked):
    queue = penstock.Queue(1)
    await queue.async_q.put(1)
    async with _group() as group:
        group.start_soon(_await, queue.async_q.put(2))
        await parked(queue, putters=1)
        assert await queue.async_q.get() == 1
    assert await queue.async_q.get() == 2


@says(AWAITED, "maxsize", "it is the number of items allowed, and qsize() the number inside")
async def async_sizes(parked):
    queue = penstock.Queue(3).async_q
    assert (queue.maxsize, queue.qsize(), queue.empty(), queue.full()) == (3, 0, True, False)
    for item in range(3):
        queue.put_nowait(item)
    assert (queue.qsize(), queue.empty(), queue.full()) == (3, False, True)


@says(AWAITED, "get", "if the queue is empty it waits until an item is available")
async def async_get_waits(parked):
    queue = penstock.Queue()
    got = []
    async with _group() as group:
        group.start_soon(_await, queue.async_q.get(), got)
        await parked(queue, getters=1)
        queue.async_q.put_nowait("x")
    assert got == ["x"]


@says(AWAITED, "get_nowait", "an item if one is immediately available, else QueueEmpty")
async def async_get_nowait(parked):
    queue = penstock.Queue().async_q
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1


@says(AWAITED, "put_nowait", "QueueFull if no free slot is immediately available")
async def async_put_nowait(parked):
    queue = penstock.Queue(1).async_q
    queue.put_nowait(1)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(2)


@says(AWAITED, "join", "it blocks until the count of unfinished tasks is zero")
async def async_join(parked):
    queue = penstock.Queue()
    await queue.async_q.join()
    queue.put_many("ab")
    done = []
    async with _group() as group:
        group.start_soon(_await, queue.async_q.join(), done)
        for _ in range(2):
            assert not done
            await queue.async_q.get()
            queue.async_q.task_done()
    assert done == [None]


@says(AWAITED, "task_done", "more calls than items are a ValueError")
async def async_task_done(parked):
    with pytest.raises(ValueError, match="too many times"):
        penstock.Queue().async_q.task_done()


@says(AWAITED, "shutdown", "put() raises; putters that are blocked are unblocked and raise")
async def async_shutdown_puts(parked):
    queue = penstock.Queue(1)
    queue.put(1)
    async with _group() as group:
        group.start_soon(_expect, queue.async_q.put(2))
        await parked(queue, putters=1)
        queue.async_q.shutdown()
    await _expect(queue.async_q.put(3))
    with pytest.raises(AsyncShutDown):
        queue.async_q.put_nowait(3)
    assert await queue.async_q.get() == 1


@says(AWAITED, "shutdown", "get() goes on until the queue is empty; blocked getters raise")
async def async_shutdown_gets(parked):
    queue = penstock.Queue()
    async with _group() as group:
        group.start_soon(_expect, queue.async_q.get())
        await parked(queue, getters=1)
        queue.async_q.shutdown()
    with pytest.raises(AsyncShutDown):
        queue.async_q.get_nowait()


@says(AWAITED, "shutdown(immediate)", "items are dropped, and join() goes on")
async def async_immediate(parked):
    queue = penstock.Queue()
    queue.put_many("abc")
    done = []
    async with _group() as group:
        group.start_soon(_await, queue.async_q.join(), done)
        queue.async_q.shutdown(immediate=True)
    assert done == [None]
    await _expect(queue.async_q.get())


def _group():
    return anyio.create_task_group()


async def _await(operation, results=None):
    result = await operation
    if results is not None:
        results.append(result)


async def _expect(operation):
    with pytest.raises(AsyncShutDown):
        await operation


@pytest.mark.parametrize(("test", "needs_shutdown"), BLOCKING)
def test_queue(test, needs_shutdown, module, thread):
    if needs_shutdown and module is standard and not HAS_SHUTDOWN:
        pytest.skip("the standard library's queues have no shutdown before Python 3.13")
    test(module, thread)


@pytest.mark.parametrize(("test", "needs_shutdown"), AWAITED)
async def test_asyncio_queue(test, needs_shutdown, anyio_backend, parked):
    await test(parked)


# --- what differs, by intent -----------------------------------------------------------------


def test_a_negative_maxsize_is_refused_where_the_standard_library_takes_it_for_infinite():
    assert standard.Queue(-1).maxsize == -1
    with pytest.raises(Misuse):
        penstock.Queue(-1)


def test_a_stuck_entry_is_refused_by_the_put_where_the_standard_library_fails_in_a_get():
    queue = penstock.PriorityQueue()
    queue.put((1, {}))
    with pytest.raises(TypeError):
        queue.put((1, {"a": 1}))
    assert queue.get() == (1, {})


def test_the_views_and_the_queue_raise_one_class_that_both_libraries_readers_catch():
    with pytest.raises(asyncio.QueueEmpty) as caught:
        penstock.Queue().sync_q.get_nowait()
    assert isinstance(caught.value, standard.Empty)
