"""numpy in shared memory: by reference, read-only at the receiver, alive as long as a view is."""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from penstock import SharedArray, SharedQueue
from penstock.errors import Closed, Misuse
from penstock.queues import QueueFull

from . import children
from .conftest import PATIENCE, Start, ended, named

pytestmark = pytest.mark.usefixtures("clean")

LARGE = 1 << 20


def test_an_array_comes_out_as_a_view_that_cannot_be_written_to():
    queue: SharedQueue[Any] = SharedQueue()
    array = np.arange(LARGE // 8)
    queue.put({"number": 1, "array": array})
    item = queue.get()
    assert np.array_equal(item["array"], array)
    assert type(item["array"]) is np.ndarray
    assert not item["array"].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        item["array"][0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        item["array"].flags.writeable = True
    assert queue.statistics().array_bytes == LARGE


def test_memory_is_used_again_when_the_last_view_goes():
    queue: SharedQueue[Any] = SharedQueue(arena_bytes=4 * LARGE)
    for _ in range(20):
        queue.put(np.ones(LARGE, "u1"))
        view = queue.get()[5:]
        assert view.sum() == LARGE - 5
        del view
    assert queue.statistics().array_bytes == 0


def test_who_keeps_views_takes_the_room_of_others():
    queue: SharedQueue[Any] = SharedQueue(arena_bytes=2 * LARGE, name=named("frames"))
    kept = []
    for _ in range(2):
        queue.put(np.ones(LARGE, "u1"))
        kept.append(queue.get())
    message = (
        r"'frames-[0-9]+' is full: 0 items, .*, 2097152 of 2097152 bytes of this process's arrays"
    )
    with pytest.raises(QueueFull, match=message):
        queue.put(np.ones(LARGE, "u1"), timeout=0.001)
    kept.pop()
    queue.put(np.ones(LARGE, "u1"), timeout=PATIENCE)


def test_a_view_that_goes_lets_a_putter_in(fork: Start):
    queue: SharedQueue[Any] = SharedQueue(arena_bytes=2 * LARGE)
    child = fork(children.send_arrays, queue, 12, LARGE, False)
    for number in range(12):
        n, array = queue.get(timeout=PATIENCE)
        assert (n, int(array[-1])) == (number, number)
        del array
    assert ended(child) == 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_order_and_shape_are_kept(order: Any):
    queue: SharedQueue[Any] = SharedQueue()
    array = np.asarray(np.arange(40_000.0).reshape(200, 200), order=order)
    queue.put(array)
    again = queue.get()
    assert np.array_equal(again, array)
    assert again.flags.f_contiguous == array.flags.f_contiguous
    queue.put(array[::2, ::3])
    assert np.array_equal(queue.get(), array[::2, ::3])


def test_an_array_born_in_the_queue_is_handed_over_as_it_lies():
    queue: SharedQueue[Any] = SharedQueue()
    array = SharedArray.empty((1000, 131), "i8", queue=queue)
    array[...] = 7
    queue.put([array, array[500:], "and a word"])
    whole, half, _ = queue.get()
    assert (whole.shape, half.shape, whole.flags.writeable) == ((1000, 131), (500, 131), False)
    array[999, 130] = 9  # which is why it is to be left alone
    assert (int(whole[999, 130]), int(half[499, 130])) == (9, 9)
    assert queue.statistics().arrays == 1


def test_handing_over_costs_no_memory():
    queue: SharedQueue[Any] = SharedQueue(64 << 20, arena_bytes=64 << 20)
    array = SharedArray.empty(48 << 20, "u1", queue=queue)
    for number in range(10):
        array[-1] = number
        queue.put(array)
        assert int(queue.get()[-1]) == number


def test_room_for_an_array_is_waited_for(thread, blocked):
    queue: SharedQueue[Any] = SharedQueue(arena_bytes=LARGE, name=named("frames"))
    first = SharedArray.empty(LARGE, "u1", queue=queue)
    with pytest.raises(QueueFull, match=r"'frames-[0-9]+' is full: .* after 0\.001 s"):
        SharedArray.empty(1, "u1", queue=queue, timeout=0.001)
    second = thread(lambda: SharedArray.empty(LARGE, "u1", queue=queue, timeout=None))
    blocked(queue, putters=1)
    del first
    assert second.outcome().shape == (LARGE,)
    with pytest.raises(Misuse, match="timeout=-1 is no time to wait"):
        SharedArray.empty(1, queue=queue, timeout=-1)


def test_an_array_outlives_its_sender(start: Start):
    queue: SharedQueue[Any] = SharedQueue()
    child = start(children.send_an_array_and_die, queue, LARGE)
    array = queue.get(timeout=PATIENCE)
    assert ended(child) == 0
    queue.put(np.zeros(LARGE, "u1"))
    assert int(array.min()) == int(array.max()) == 7
    queue.close()
    del queue
    gc.collect()
    assert int(array.sum()) == 7 * LARGE


def test_what_a_dead_taker_held_comes_back(start: Start):
    queue: SharedQueue[Any] = SharedQueue(arena_bytes=LARGE)
    ready: SharedQueue[str] = SharedQueue()
    doomed = start(children.hold, queue, ready)
    queue.put(np.ones(LARGE, "u1"))
    assert ready.get(timeout=PATIENCE) == "held"
    with pytest.raises(QueueFull):
        queue.put_nowait(np.ones(LARGE, "u1"))
    doomed.kill()
    assert ended(doomed) == -signal.SIGKILL
    queue.put(np.ones(LARGE, "u1"), timeout=PATIENCE)
    assert int(queue.get().sum()) == LARGE


@pytest.mark.parametrize("born", [False, True], ids=["copied", "born"])
def test_a_gigabyte_goes_through(fork: Start, born: bool):
    # Larger than /dev/shm where that is 64 MB, as in a container: no byte of it lies there.
    size, count = 8 << 20, 128
    queue: SharedQueue[Any] = SharedQueue(32 << 20)
    child = fork(children.send_arrays, queue, count, size, born)
    total = 0
    for number in range(count):
        n, array = queue.get(timeout=PATIENCE)
        assert n == number
        assert array[0] == array[-1] == number % 251
        total += array.nbytes
        del array
    assert ended(child) == 0
    assert total == 1 << 30


# Memory of its own.


@pytest.mark.parametrize("writable", [True, False])
def test_an_array_is_handed_to_a_child(start: Start, writable: bool):
    answers: SharedQueue[Any] = SharedQueue()
    array = SharedArray.empty((4, 100), "i4")
    assert not array.any()
    array[...] = 5
    array.flags.writeable = writable
    assert ended(start(children.fill, array, 8, answers)) == 0
    assert answers.get(timeout=PATIENCE) == ("SharedArray", writable, 5)
    assert set(array.reshape(-1).tolist()) == {8 if writable else 5}


def test_a_view_is_handed_to_a_child(spawn: Start):
    answers: SharedQueue[Any] = SharedQueue()
    array = SharedArray.empty((10, 10), "f8")
    array[...] = np.arange(100).reshape(10, 10)
    assert ended(spawn(children.fill, array[8:2:-2, 1:9], -1.0, answers)) == 0
    assert answers.get(timeout=PATIENCE)[2] == 81
    expected = np.arange(100.0).reshape(10, 10)
    expected[8:2:-2, 1:9] = -1
    assert np.array_equal(array, expected)


def test_through_a_queue_and_a_pickle_it_is_copied():
    queue: SharedQueue[Any] = SharedQueue()
    array = SharedArray.empty(LARGE, "u1")
    queue.put(array)
    for again in (queue.get(), pickle.loads(pickle.dumps(array))):
        assert type(again) is np.ndarray
        array[0] += 1
        assert again[0] != array[0]


def test_it_is_an_array_as_any_other():
    array = SharedArray.empty(6, "i8")
    array[...] = range(6)
    assert isinstance(array[1:], SharedArray)
    assert isinstance(array.reshape(2, 3), SharedArray)
    for plain in (array + 1, np.sqrt(array), array[[0, 2]], array[array > 1], array.copy()):
        assert np.may_share_memory(plain, array) is False
    assert type(array + 1) is np.ndarray
    assert type(array[[0, 2]]) is np.ndarray
    assert (array.sum(), type(array[0])) == (15, np.int64)
    assert type(array.sum()) is np.int64
    array += 1
    assert isinstance(array, SharedArray)
    assert array.tolist() == [1, 2, 3, 4, 5, 6]
    assert SharedArray.empty((), "i8").shape == ()
    assert SharedArray.empty((0, 3)).shape == (0, 3)
    assert SharedArray.empty(np.int64(3)).dtype == np.float64


@pytest.mark.parametrize("within", [False, True])
def test_what_cannot_be_shared(within: bool):
    queue: SharedQueue[Any] | None = SharedQueue(1 << 16, name=named("frames")) if within else None
    with pytest.raises(Misuse, match="dtype object refers to Python objects"):
        SharedArray.empty(3, object, queue=queue)
    with pytest.raises(Misuse, match=r"shape \(2, -1\) has a negative length"):
        SharedArray.empty((2, -1), queue=queue)
    if queue is not None:
        with pytest.raises(Misuse, match=r"shared queue 'frames-[0-9]+': an item of 8388608 bytes"):
            SharedArray.empty(LARGE, "f8", queue=queue)
        kept = SharedArray.empty(1 << 16, "u1", queue=queue)
        other = SharedArray.empty(1 << 16, "u1", queue=queue)
        with pytest.raises(QueueFull, match=r"'frames-[0-9]+' is full"):
            SharedArray.empty(1, queue=queue)
        del kept, other
        queue.close()
        with pytest.raises(Closed, match="was closed"):
            SharedArray.empty(1, queue=queue)
    else:
        with pytest.raises(
            MemoryError, match="SharedArray: no memory for 9223372036854775808 bytes"
        ):
            SharedArray.empty(1 << 60, "f8")


def test_a_queue_needs_no_numpy():
    program = """
import sys
from penstock import SharedQueue
queue = SharedQueue()
queue.put({"a": [1, {"b": b"c" * 100_000}]})
queue.get()
assert "numpy" not in sys.modules and "asyncio" not in sys.modules, sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PATIENCE)
