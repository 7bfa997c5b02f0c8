"""The blocking side: order, bounds, batches, timeouts, and what the errors say."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import queue as standard
import sys
import time
import weakref

import pytest

from penstock import PriorityQueue, Queue
from penstock.errors import Closed, Empty, Expired, Full, Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown


def test_first_in_first_out_over_many_laps():
    queue = Queue(3)
    for lap in range(100):
        for item in range(3):
            queue.put((lap, item))
        assert [queue.get() for _ in range(3)] == [(lap, item) for item in range(3)]


@pytest.mark.parametrize("maxsize", [1, 2, 3, 1024, 1 << 20])
def test_a_bound_is_exact(maxsize):
    queue = Queue(maxsize)
    queue.put_many(range(maxsize))
    assert queue.full()
    assert len(queue) == queue.qsize() == queue.maxsize == maxsize
    with pytest.raises(standard.Full):
        queue.put_nowait(None)
    assert queue.get_many(maxsize) == list(range(maxsize))
    assert queue.empty()


def test_no_bound():
    queue = Queue()
    queue.put_many(range(10_000))
    assert queue.maxsize == 0
    assert not queue.full()
    assert [queue.get() for _ in range(10_000)] == list(range(10_000))


def test_it_is_true_even_when_empty():
    assert Queue()


def test_any_object_is_an_item():
    queue = Queue()
    items = [None, ..., NotImplemented, (), (1,), StopIteration(3), ValueError("x")]
    queue.put_many(items)
    assert queue.get_many(7, min=7) == items


def test_errors_are_what_readers_already_catch():
    queue = Queue(1, name="orders")
    with pytest.raises(QueueEmpty, match=r"^queue 'orders' is empty$") as empty:
        queue.get_nowait()
    queue.put(1)
    with pytest.raises(QueueFull, match=r"^queue 'orders' is full: 1 of 1 items$") as full:
        queue.put_nowait(2)
    queue.shutdown()
    with pytest.raises(QueueShutDown, match=r"^queue 'orders' is shut down$") as shut_down:
        queue.put(2)
    assert isinstance(empty.value, (Empty, standard.Empty))
    assert isinstance(empty.value, asyncio.QueueEmpty)
    assert isinstance(full.value, Full)
    assert isinstance(full.value, standard.Full)
    assert isinstance(full.value, asyncio.QueueFull)
    assert isinstance(shut_down.value, Closed)
    if sys.version_info >= (3, 13):
        assert isinstance(shut_down.value, standard.ShutDown)
        assert isinstance(shut_down.value, asyncio.QueueShutDown)
    for error in (empty.value, full.value, shut_down.value):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)


def test_not_blocking_is_not_waiting():
    queue = Queue(1)
    with pytest.raises(QueueEmpty):
        queue.get(block=False, timeout=100)
    with pytest.raises(QueueEmpty):
        queue.get(False)
    queue.put(1, block=False)
    with pytest.raises(QueueFull):
        queue.put(2, False, 100)


def test_timeouts_expire_and_lose_nothing():
    queue = Queue(1, name="q")
    begin = time.monotonic()
    with pytest.raises(QueueEmpty, match=r"after 0\.02 s"):
        queue.get(timeout=0.02)
    queue.put(1)
    with pytest.raises(QueueFull, match=r"after 0\.02 s"):
        queue.put(2, timeout=0.02)
    with pytest.raises(Expired, match=r"1 unfinished items after 0\.02 s"):
        queue.join(timeout=0.02)
    assert time.monotonic() - begin >= 0.06
    assert queue.get_many() == [1]
    figures = queue.statistics()
    assert figures.waiting_getters == figures.waiting_putters == 0


def test_a_timeout_of_zero_tries_once():
    queue = Queue(1)
    with pytest.raises(QueueEmpty):
        queue.get(timeout=0)
    queue.put(1, timeout=0)
    with pytest.raises(QueueFull):
        queue.put(2, timeout=0)
    assert queue.get(timeout=0) == 1


def test_endless_timeouts_wait(thread, blocked):
    queue = Queue()
    for timeout in (None, float("inf"), 1e30):
        getter = thread(lambda timeout=timeout: queue.get(timeout=timeout))
        blocked(queue, getters=1)
        queue.put(timeout)
        assert getter.outcome() == timeout


def test_a_blocked_getter_is_woken(thread, blocked):
    queue = Queue(1)
    getter = thread(queue.get)
    blocked(queue, getters=1)
    queue.put("x")
    assert getter.outcome() == "x"


def test_a_blocked_putter_is_woken_as_soon_as_there_is_room(thread, blocked):
    queue = Queue(4)
    queue.put_many(range(4))
    putter = thread(queue.put, 4)
    blocked(queue, putters=1)
    assert queue.get() == 0
    putter.outcome()
    assert queue.get_many() == [1, 2, 3, 4]


def test_a_batch_larger_than_the_queue_goes_in_as_room_comes(thread):
    queue = Queue(3)
    putter = thread(queue.put_many, range(1000))
    got = []
    while len(got) < 1000:
        got += queue.get_many(7)
    putter.outcome()
    assert got == list(range(1000))


def test_a_batch_that_ends_early_says_how_far_it_came(thread, blocked):
    queue = Queue(3)
    with pytest.raises(QueueFull) as full:
        queue.put_many(range(5), timeout=0.01)
    assert full.value.accepted == 3
    putter = thread(queue.put_many, "ab")
    blocked(queue, putters=1)
    queue.shutdown()
    with pytest.raises(QueueShutDown) as shut_down:
        putter.outcome()
    assert shut_down.value.accepted == 0
    assert queue.get_many() == [0, 1, 2]


def test_an_empty_batch_is_nothing():
    queue = Queue(1)
    queue.put(0)
    queue.put_many([], timeout=0)
    assert queue.get_many() == [0]


def test_a_batch_whose_source_fails_puts_nothing():
    queue = Queue()
    with pytest.raises(ZeroDivisionError):
        queue.put_many(1 // (2 - n) for n in range(5))
    assert queue.empty()


def test_get_many_waits_for_its_minimum(thread, blocked):
    queue = Queue(8)
    getter = thread(lambda: queue.get_many(4, min=3))
    blocked(queue, getters=1)
    queue.put(0)
    queue.put(1)
    blocked(queue, getters=1)
    assert queue.statistics().getter_wakes == 0, "woken for less than it asked for"
    queue.put(2)
    assert getter.outcome() == [0, 1, 2]
    with pytest.raises(QueueEmpty, match="holds 1 of the 2 items asked for"):
        queue.put(3)
        queue.get_many(min=2, timeout=0.01)
    assert queue.get_many(min=0) == [3]
    assert queue.get_many(min=0) == []


def test_a_getter_of_one_overtakes_one_that_waits_for_more(thread, blocked):
    queue = Queue(8)
    many = thread(lambda: queue.get_many(min=2))
    blocked(queue, getters=1)
    one = thread(queue.get)
    blocked(queue, getters=2)
    queue.put("a")
    assert one.outcome() == "a"
    queue.put_many("bc")
    assert many.outcome() == ["b", "c"]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: Queue(-1, name="x"), r"queue 'x': maxsize=-1"),
        (lambda: Queue(2).get(timeout=-1), r"queue of maxsize 2: timeout=-1"),
        (lambda: Queue().get(timeout=float("nan")), r"unbounded queue: timeout=NaN"),
        (lambda: Queue().put(1, timeout=-0.5), r"timeout=-0.5"),
        (lambda: Queue().aget(timeout=-1), r"timeout=-1"),
        (lambda: Queue().get_many(0), r"max=0"),
        (lambda: Queue().get_many(-3), r"max=-3"),
        (lambda: Queue().get_many(2, min=3), r"min=3 is more than max=2"),
        (lambda: Queue().get_many(2, min=-1), r"min=-1"),
        (lambda: Queue(4).get_many(8, min=5), r"min=5 can never be met, .* 4 items"),
        (lambda: Queue().task_done(), r"too many times"),
    ],
)
def test_what_cannot_work_is_refused(call, complaint):
    with pytest.raises(Misuse, match=complaint) as misuse:
        call()
    assert isinstance(misuse.value, ValueError)
    assert misuse.value.hint


def test_items_are_released(thread, blocked):
    class Item:
        pass

    queue = Queue(4)
    item = Item()
    seen = weakref.ref(item)
    queue.put(item)
    queue.get()
    del item
    assert seen() is None
    item = Item()
    seen = weakref.ref(item)
    queue.put(item)
    del item, queue
    assert seen() is None


def test_a_cycle_through_a_queue_is_collected():
    import gc

    queue = Queue(4)
    seen = weakref.ref(queue)
    queue.put(queue)
    queue.put([queue.get])
    del queue
    gc.collect()
    assert seen() is None


def test_it_takes_type_arguments():
    assert Queue[int](3).maxsize == 3


def test_it_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(Queue())


def test_its_repr_has_name_and_numbers():
    queue = Queue(2, name="orders")
    queue.put(1)
    assert repr(queue) == "<Queue 'orders', maxsize 2, 1 items>"
    queue.shutdown()
    assert repr(queue) == "<Queue 'orders', maxsize 2, 1 items, shut down>"
    assert repr(Queue()) == "<Queue, maxsize 0, 0 items>"


@pytest.mark.parametrize("cls", [Queue, PriorityQueue])
def test_what_is_refused_is_let_go_of_at_once(cls):
    """However it was called: the shortest way into a queue keeps no reference either."""
    queue = cls(1)
    queue.put(0)
    item = object()
    before = sys.getrefcount(item)
    for refused in (
        lambda: queue.put(item, False),
        lambda: queue.put(item, timeout=0),
        lambda: queue.put_nowait(item),
        lambda: queue.put_many([item], timeout=0),
    ):
        with pytest.raises(QueueFull):
            refused()
        assert sys.getrefcount(item) == before
    queue.shutdown()
    for refused in (lambda: queue.put(item), lambda: queue.put(item=item)):
        with pytest.raises(QueueShutDown):
            refused()
        assert sys.getrefcount(item) == before


def test_a_call_is_what_its_signature_says():
    queue = Queue(1)
    assert str(inspect.signature(Queue.put)) == "(self, /, item, block=True, timeout=None)"
    assert queue.put.__doc__ == Queue.put.__doc__
    assert Queue.put.__doc__.startswith("Puts `item` in")
    Queue.put(queue, "item")
    assert Queue.get(queue) == "item"
    for wrong in (queue.put, lambda: queue.put(1, 2, 3, 4), lambda: queue.get(None, 1, 2)):
        with pytest.raises(TypeError):
            wrong()
    for method in (Queue.put, Queue.put_nowait, Queue.get, Queue.aget):
        with pytest.raises(TypeError):
            method(object())
    assert len(queue) == 0
