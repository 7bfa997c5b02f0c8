"""`LifoQueue` and `PriorityQueue`: their order, and what comparing may do to a queue."""

from __future__ import annotations

import gc
import heapq
import random
import weakref
from dataclasses import dataclass, field

import anyio
import pytest

from penstock import LifoQueue, PriorityQueue, Queue
from penstock.errors import Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown

both = pytest.mark.parametrize("kind", [LifoQueue, PriorityQueue])


def test_the_newest_comes_first():
    queue = LifoQueue()
    queue.put_many(range(5))
    queue.put(5)
    assert queue.get() == 5
    assert queue.get_many(2) == [4, 3]
    queue.put("x")
    assert list(queue.get_many()) == ["x", 2, 1, 0]


def test_the_least_comes_first():
    numbers = random.Random(1).choices(range(2000), k=5000)
    queue = PriorityQueue()
    queue.put_many(numbers)
    assert queue.get() == min(numbers)
    assert queue.get_many(5000) == sorted(numbers)[1:]


def test_puts_and_gets_agree_with_a_heap():
    chance = random.Random(2)
    queue, heap = PriorityQueue(), []
    for _ in range(20_000):
        if heap and chance.random() < 0.45:
            assert queue.get() == heapq.heappop(heap)
        else:
            item = chance.random()
            queue.put(item)
            heapq.heappush(heap, item)
    assert queue.get_many(len(heap)) == sorted(heap)


@dataclass(order=True)
class Job:
    priority: int
    data: object = field(compare=False)


def test_of_equals_the_oldest_comes_first():
    queue = PriorityQueue()
    chance = random.Random(3)
    for number in range(3000):
        queue.put(Job(chance.randrange(3), number))
    got = [(job.priority, job.data) for job in queue.get_many(3000)]
    assert got == sorted(got)


@both
def test_they_are_queues_with_a_name_and_a_bound(kind):
    assert issubclass(kind, Queue)
    queue = kind[int](2, name="orders")
    assert repr(queue) == f"<{kind.__name__} 'orders', maxsize 2, 0 items>"
    queue.put_many([1, 2])
    assert queue.full()
    with pytest.raises(QueueFull, match=r"^queue 'orders' is full: 2 of 2 items$"):
        queue.put_nowait(3)
    with pytest.raises(QueueFull) as full:
        queue.put_many([3, 4], timeout=0.01)
    assert full.value.accepted == 0
    assert sorted(queue.get_many()) == [1, 2]
    with pytest.raises(QueueEmpty):
        queue.get_nowait()
    with pytest.raises(Misuse, match="maxsize=-1"):
        kind(-1)


@both
def test_it_can_be_subclassed(kind):
    class Own(kind):
        pass

    assert repr(Own(3)) == "<Own, maxsize 3, 0 items>"


@both
def test_a_cycle_through_it_is_collected(kind):
    class Item:
        def __lt__(self, other):
            return False

    item = Item()
    item.queue = kind()
    item.queue.put(item)
    item.queue.put(Item())
    seen = weakref.ref(item)
    del item
    gc.collect()
    assert seen() is None


@both
def test_shutdown_and_join(kind, thread, blocked):
    queue = kind(2)
    queue.put_many([1, 2])
    putter = thread(queue.put, 3)
    blocked(queue, putters=1)
    queue.shutdown()
    with pytest.raises(QueueShutDown):
        putter.outcome()
    assert sorted(queue) == [1, 2]
    for _ in range(2):
        queue.task_done()
    queue.join()
    queue = kind()
    queue.put_many([1, 2])
    queue.shutdown(immediate=True)
    queue.join()
    with pytest.raises(QueueShutDown):
        queue.get_nowait()


@both
def test_threads_lose_and_double_nothing(kind, thread):
    queue = kind(7)
    getters = [thread(lambda: list(queue)) for _ in range(3)]
    putters = [thread(queue.put_many, range(n, 3000, 3)) for n in range(3)]
    for putter in putters:
        putter.outcome()
    queue.shutdown()
    got = [item for getter in getters for item in getter.outcome()]
    assert sorted(got) == list(range(3000))


@both
async def test_tasks_wait_on_both_sides(anyio_backend, kind, parked):
    queue = kind(2)
    got = []

    async def read() -> None:
        got.extend([item async for item in queue])

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await parked(queue, getters=1)
        await queue.aput(0)
        await queue.aput_many(range(1, 50))
        queue.shutdown()
    assert sorted(got) == list(range(50))


@both
async def test_a_cancel_in_the_tick_of_the_item_loses_nothing(anyio_backend, kind, parked):
    queue = kind(4)
    got = []

    async def read() -> None:
        got.append(await queue.aget())

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await parked(queue, getters=1)
        queue.put("item")
        group.cancel_scope.cancel()
    assert got + queue.get_many(min=0) == ["item"]
    assert queue.statistics().waiting_getters == 0


def test_what_cannot_be_compared_is_refused_by_the_put():
    queue = PriorityQueue(8)
    queue.put_many([(1, {}), (3, {})])
    with pytest.raises(TypeError, match="not supported between"):
        queue.put((1, {"a": 1}))
    with pytest.raises(TypeError):
        queue.put_nowait((3, {"a": 1}))
    with pytest.raises(TypeError) as refused:
        queue.put_many([(2, "a"), (0, "b"), (3, [1]), (4, "c")])
    assert refused.value.accepted == 2
    assert queue.get_many() == [(0, "b"), (1, {}), (2, "a"), (3, {})]
    assert queue.statistics().put == 4


async def test_a_task_whose_item_cannot_be_compared_is_told(anyio_backend, parked):
    queue = PriorityQueue(2)
    queue.put_many([1, 2])
    refused = []

    async def put() -> None:
        with pytest.raises(TypeError) as error:
            await queue.aput_many([3, "a"])
        refused.append(error.value.accepted)

    async with anyio.create_task_group() as group:
        group.start_soon(put)
        await parked(queue, putters=1)
        assert queue.get_many(2) == [1, 2]
    assert refused == [1]
    assert queue.get_many() == [3]
    assert queue.statistics().waiting_putters == 0


def test_no_lock_is_held_while_items_are_compared(thread):
    queue = PriorityQueue()
    seen = []

    class Curious:
        def __init__(self, rank):
            self.rank = rank

        def __lt__(self, other):
            # From here and from another thread, in the middle of a put.
            seen.append(len(queue))
            seen.append(thread(queue.qsize).outcome())
            return self.rank < other.rank

    for rank in (2, 1, 3):
        queue.put(Curious(rank))
    assert [item.rank for item in queue.get_many()] == [1, 2, 3]
    assert seen == [1, 1, 2, 2]


def test_a_put_that_was_overtaken_while_it_compared_looks_again():
    queue = PriorityQueue()
    meanwhile = [0, 9, 1, 8]

    class Slow(int):
        __slots__ = ()

        def __lt__(self, other):
            if meanwhile:
                queue.put(meanwhile.pop())
                assert queue.get() is not None
            return int(self) < int(other)

    queue.put_many([2, 4, 6])
    queue.put(Slow(5))
    got = queue.get_many()
    assert got == sorted(got)
    assert len(got) == 4


def test_a_full_queue_compares_nothing():
    class Never:
        def __lt__(self, other):
            raise AssertionError("compared in vain")

    queue = PriorityQueue(1)
    queue.put(Never())
    with pytest.raises(QueueFull):
        queue.put_nowait(Never())
    queue.shutdown()
    with pytest.raises(QueueShutDown):
        queue.put(Never())
