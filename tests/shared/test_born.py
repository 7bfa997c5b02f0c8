"""Arrays born in a queue's memory: the short way to one, and the long one, make the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock import SharedArray, SharedQueue
from penstock._native import born_at_once
from penstock.errors import Closed, Misuse
from penstock.queues import QueueShutDown

from .conftest import named

pytestmark = pytest.mark.usefixtures("clean")

SHAPES: list[Any] = [5, (3, 4), (), (0, 3), 0, (2, 3, 5, 7), [2, 3], np.int64(3), (np.int64(2), 3)]
SHAPES += [(1,) * 32]
DTYPES: list[Any] = [float, None, "u1", np.int16, bool, "c16", np.dtype("f4"), ">f8", "U3", "S5"]
DTYPES += ["M8[s]", [("x", "i4"), ("y", "f8")], "(2,)f4", complex, np.longdouble]


def plainly(queue: SharedQueue[Any], shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """As `SharedArray.empty` makes one, by numpy alone."""
    layout = np.empty(shape, dtype)
    return np.ndarray(layout.shape, layout.dtype, queue._allocate(layout.nbytes or 1, 0.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=repr)
def test_it_is_what_numpy_makes_of_that_memory(dtype: Any):
    queue: SharedQueue[Any] = SharedQueue(max_bytes=1 << 20)
    for shape in SHAPES:
        # The first is made of memory that is not there yet, the second of the first one's.
        for _ in range(2):
            array = SharedArray.empty(shape, dtype, queue=queue)
            expected = plainly(queue, shape, dtype)
            assert type(array) is SharedArray
            assert (array.shape, array.strides) == (expected.shape, expected.strides)
            assert array.dtype == expected.dtype
            assert array.dtype.byteorder == expected.dtype.byteorder
            for flag in ("c_contiguous", "f_contiguous", "aligned", "writeable", "owndata"):
                assert getattr(array.flags, flag) == getattr(expected.flags, flag), (shape, flag)
            assert type(array.base) is type(expected.base)
            array[...] = np.zeros((), dtype)
            queue.put(array)
            again = queue.get()
            assert again.dtype == array.dtype
            assert np.array_equal(again, array)
            del array, expected, again
    assert queue.statistics().arrays == 0


def test_what_is_usual_goes_the_short_way_once_its_memory_is_there():
    queue: SharedQueue[Any] = SharedQueue(max_bytes=1 << 20)
    made = [SharedArray, (64, 1024), float, queue, 0.0]
    assert born_at_once(*made) is None, "its pages are not there yet"
    first = SharedArray.empty((64, 1024), queue=queue)
    assert born_at_once(*made) is None, "and so are the next ones"
    address = first.ctypes.data
    del first
    second = born_at_once(*made)
    assert isinstance(second, SharedArray)
    assert second.ctypes.data == address
    assert queue.statistics().array_bytes == 64 * 1024 * 8
    del second
    assert queue.statistics().array_bytes == 0


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, np.ndarray),
        (0, type("Image", (SharedArray,), {})),
        (1, (2, -1)),
        (1, -1),
        (1, 1 << 62),
        (1, 1 << 70),
        (1, (1,) * 65),
        (1, 2.0),
        (2, object),
        (2, ">f8"),
        (3, 5),
        (3, None),
        (4, -1.0),
        (4, float("nan")),
    ],
    ids=repr,
)
def test_what_is_not_usual_is_left_to_the_long_way(place: int, value: Any):
    queue: SharedQueue[Any] = SharedQueue(max_bytes=1 << 20)
    SharedArray.empty(100, queue=queue)
    made: list[Any] = [SharedArray, 100, float, queue, 0.0]
    assert born_at_once(*made) is not None
    made[place] = value
    assert born_at_once(*made) is None


def test_a_class_below_makes_its_own():
    class Image(SharedArray):
        seen = 0

        def __array_finalize__(self, _other: object) -> None:
            type(self).seen += 1

    queue: SharedQueue[Any] = SharedQueue()
    for count in (1, 2):
        assert type(Image.empty((2, 2), queue=queue)) is Image
        assert Image.seen == count


def test_what_is_wrong_is_refused_with_room_at_hand():
    queue: SharedQueue[Any] = SharedQueue(1 << 20, name=named("frames"))
    SharedArray.empty(100, queue=queue)
    with pytest.raises(Misuse, match="timeout=-1 is no time to wait"):
        SharedArray.empty(1, queue=queue, timeout=-1)
    with pytest.raises(Misuse, match=r"shape \(2, -1\) has a negative length"):
        SharedArray.empty((2, -1), queue=queue)
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        SharedArray.empty((2.0,), queue=queue)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data type 'nothing' not understood"):
        SharedArray.empty(1, "nothing", queue=queue)
    queue.shutdown()
    with pytest.raises(QueueShutDown):
        queue.put(SharedArray.empty(1, queue=queue))
    queue.close()
    with pytest.raises(Closed, match="was closed"):
        SharedArray.empty(1, queue=queue)


def test_many_at_a_time_lie_apart(thread):
    queue: SharedQueue[Any] = SharedQueue(max_bytes=8 << 20)

    def work(number: int) -> None:
        for count in range(300):
            arrays = [SharedArray.empty(4000, "i8", queue=queue) for _ in range(4)]
            for array in arrays:
                array.fill(number)
            if count % 3 == 0:
                del arrays[0]
            assert all((array == number).all() for array in arrays)

    for runner in [thread(work, number) for number in range(4)]:
        runner.outcome()
    assert queue.statistics().arrays == 0
