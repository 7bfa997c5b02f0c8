"""Peeking, reserving, clearing, and a bound that moves."""

from __future__ import annotations

import gc

import anyio
import pytest
import trio

from penstock import LifoQueue, PriorityQueue, Queue
from penstock.errors import Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown

kinds = pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])


@kinds
@pytest.mark.parametrize("maxsize", [0, 4])
def test_a_peek_shows_what_the_next_get_takes(kind, maxsize):
    queue = kind(maxsize)
    queue.put_many([2, 1, 3])
    for _ in range(3):
        assert queue.peek() == queue.peek_nowait() == queue.get()
    with pytest.raises(QueueEmpty):
        queue.peek_nowait()
    with pytest.raises(QueueEmpty, match=r"after 0.01 s"):
        queue.peek(timeout=0.01)
    queue.shutdown()
    with pytest.raises(QueueShutDown):
        queue.peek()


@kinds
def test_a_thread_waits_to_peek_and_its_wake_goes_on(kind, thread, blocked):
    queue = kind(4)
    peeking = thread(queue.peek)
    blocked(queue, getters=1)
    getting = thread(queue.get)
    blocked(queue, getters=2)
    queue.put("x")
    assert getting.outcome() == "x"
    if peeking.is_alive():
        queue.put("x")
    assert peeking.outcome() == "x"


async def test_a_task_waits_to_peek_and_its_wake_goes_on(anyio_backend, parked):
    queue = Queue(4)
    got = []

    async def read(operation) -> None:
        got.append(await operation)

    async with anyio.create_task_group() as group:
        group.start_soon(read, queue.apeek())
        await parked(queue, getters=1)
        group.start_soon(read, queue.aget())
        await parked(queue, getters=2)
        queue.put("x")
    assert got == ["x", "x"]
    assert queue.empty()


def test_the_order_is_kept_when_a_queue_leaves_its_ring(thread):
    queue = Queue(8)
    putters = [thread(lambda n=n: [queue.put((n, i)) for i in range(500)]) for n in range(3)]
    got = []
    while len(got) < 1500:
        if len(got) == 20:
            queue.peek()
        got.append(queue.get())
    for putter in putters:
        putter.outcome()
    for n in range(3):
        assert [i for m, i in got if m == n] == list(range(500))
    figures = queue.statistics()
    assert (figures.put, figures.got, figures.items) == (1500, 1500, 0)


def test_a_batch_keeps_its_minimum_when_the_queue_leaves_its_ring(thread, blocked):
    queue = Queue(8)
    getter = thread(lambda: queue.get_many(4, min=3))
    queue.put_many("ab")
    blocked(queue, getters=1)
    assert queue.peek() == "a"
    queue.put("c")
    assert getter.outcome() == ["a", "b", "c"]


def test_join_counts_on_when_the_queue_leaves_its_ring(thread):
    queue = Queue(4)
    queue.put_many("abc")
    queue.get()
    queue.peek()
    assert queue.statistics().unfinished == 3
    joiner = thread(queue.join)
    queue.get_many(min=2)
    for _ in range(3):
        queue.task_done()
    joiner.outcome()
    with pytest.raises(Misuse):
        queue.task_done()


@kinds
def test_a_larger_bound_lets_putters_in(kind, thread, blocked):
    queue = kind(1)
    queue.put(0)
    putters = [thread(queue.put, n) for n in (1, 2, 3)]
    blocked(queue, putters=3)
    queue.maxsize = 3
    blocked(queue, putters=1)
    assert queue.qsize() == queue.maxsize == 3
    queue.maxsize = 0
    for putter in putters:
        putter.outcome()
    assert not queue.full()
    assert sorted(queue.get_many()) == [0, 1, 2, 3]


async def test_a_larger_bound_lets_tasks_in(anyio_backend, parked):
    queue = Queue(1)
    queue.put(0)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aput_many, [1, 2, 3])
        await parked(queue, putters=1)
        queue.maxsize = 4
    assert queue.get_many() == [0, 1, 2, 3]


@kinds
def test_a_smaller_bound_drops_nothing(kind):
    queue = kind(8)
    queue.put_many(range(6))
    queue.maxsize = 2
    assert queue.full()
    assert queue.qsize() == 6
    for left in (5, 4, 3, 2):
        with pytest.raises(QueueFull):
            queue.put_nowait(9)
        queue.get()
        assert queue.qsize() == left
    queue.get()
    queue.put_nowait(9)
    assert queue.full()


def test_a_batch_that_a_smaller_bound_puts_out_of_reach_is_told(thread, blocked):
    queue = Queue(8)
    getter = thread(lambda: queue.get_many(8, min=6))
    blocked(queue, getters=1)
    queue.maxsize = 4
    with pytest.raises(Misuse, match="min=6 can never be met"):
        getter.outcome()


def test_a_bound_that_cannot_be_is_refused():
    queue = Queue(2, name="orders")
    with pytest.raises(Misuse, match="queue 'orders': maxsize=-1"):
        queue.maxsize = -1
    assert queue.maxsize == 2


@kinds
@pytest.mark.parametrize("maxsize", [0, 4])
def test_clear_drops_what_is_inside_and_counts_it_as_done(kind, maxsize, thread, blocked):
    queue = kind(maxsize)
    queue.put_many(range(4))
    queue.get()
    assert queue.clear() == 3
    assert queue.clear() == 0
    assert queue.empty()
    assert queue.statistics().unfinished == 1
    joiner = thread(queue.join)
    queue.task_done()
    joiner.outcome()
    queue.put("more")
    assert queue.get() == "more"


def test_clear_lets_putters_in(thread, blocked):
    queue = Queue(1)
    queue.put(0)
    putter = thread(queue.put, 1)
    blocked(queue, putters=1)
    queue.clear()
    putter.outcome()
    assert queue.get() == 1


@kinds
def test_a_reserved_place_is_nobody_elses(kind):
    queue = kind(2, name="orders")
    place = queue.reserve()
    assert place.is_held
    assert repr(place) == "<Reservation in queue 'orders', held>"
    queue.put(1)
    assert queue.full()
    assert queue.statistics().reserved == 1
    with pytest.raises(QueueFull):
        queue.put_nowait(2)
    with pytest.raises(QueueFull):
        queue.reserve(block=False)
    with pytest.raises(QueueFull, match=r"after 0.01 s"):
        queue.reserve(timeout=0.01)
    place.put(2)
    assert not place.is_held
    assert sorted(queue.get_many()) == [1, 2]
    with pytest.raises(Misuse, match="used or given back"):
        place.put(3)
    place.release()
    assert queue.statistics().reserved == 0


def test_a_place_that_is_left_or_dropped_is_given_back(thread, blocked):
    queue = Queue(1)
    with queue.reserve() as place:
        assert queue.full()
    assert not place.is_held
    with pytest.raises(ZeroDivisionError), queue.reserve():
        raise ZeroDivisionError
    place = queue.reserve()
    putter = thread(queue.put, 1)
    blocked(queue, putters=1)
    del place
    putter.outcome()
    assert queue.get() == 1
    with queue.reserve() as place:
        place.put(2)
    assert queue.get() == 2


def test_a_thread_waits_for_a_place(thread, blocked):
    queue = Queue(1)
    queue.put(0)
    reserving = thread(queue.reserve)
    blocked(queue, putters=1)
    assert queue.get() == 0
    place = reserving.outcome()
    place.put(1)
    assert queue.get() == 1


async def test_a_task_waits_for_a_place_and_a_cancelled_one_holds_none(anyio_backend, parked):
    queue = Queue(1)
    queue.put(0)
    for turns in range(3):
        async with anyio.create_task_group() as group:
            group.start_soon(queue.areserve)
            await parked(queue, putters=1)
            assert queue.get() == turns
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        gc.collect()
        assert queue.statistics().reserved == 0
        with await queue.areserve(timeout=30) as place:
            place.put(turns + 1)


def test_a_place_in_a_queue_that_is_shut_down_is_of_no_use():
    queue = Queue(2)
    place = queue.reserve()
    queue.shutdown()
    with pytest.raises(QueueShutDown):
        place.put(1)
    with pytest.raises(QueueShutDown):
        queue.reserve()
    place.release()
    assert queue.empty()


def test_a_place_outlives_an_item_that_cannot_be_compared():
    queue = PriorityQueue(2)
    queue.put(1)
    with queue.reserve() as place:
        with pytest.raises(TypeError):
            place.put("a")
        place.put(0)
    assert queue.get_many() == [0, 1]


def test_without_a_bound_there_is_always_a_place():
    queue = Queue()
    places = [queue.reserve(block=False) for _ in range(100)]
    places[0].put("x")
    del places
    assert queue.statistics().reserved == 0
    assert queue.get() == "x"


async def test_the_woken_reservation_that_is_cancelled_passes_its_wake_on(anyio_backend, parked):
    queue = Queue(1)
    queue.put(0)
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def reserve() -> None:
            with scope:
                await queue.areserve()

        group.start_soon(reserve)
        await parked(queue, putters=1)
        group.start_soon(queue.aput, 1)
        await parked(queue, putters=2)
        assert queue.get() == 0
        scope.cancel()
    assert queue.get() == 1


class Room(trio.abc.Instrument):
    """Makes room between a putter's being told that its time is up, and its last look."""

    def __init__(self, queue: Queue[int]) -> None:
        self.queue = queue
        self.putter: trio.lowlevel.Task | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.putter and self.queue.statistics().waiting_putters:
            self.queue.get_nowait()


def test_a_place_that_came_at_the_last_look_is_given_back_when_it_is_dropped():
    queue = Queue(1)
    queue.put(0)
    room = Room(queue)

    async def hold() -> int:
        place = await queue.areserve(timeout=0.001)
        assert place.is_held
        return queue.statistics().reserved

    async def main() -> None:
        async def reserve() -> None:
            room.putter = trio.lowlevel.current_task()
            assert await hold() == 1
            # No frame of those that waited has it any more.
            assert queue.statistics().reserved == 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reserve)

    gc.disable()
    try:
        trio.run(main, instruments=[room])
    finally:
        gc.enable()
    assert queue.statistics().got == 1
