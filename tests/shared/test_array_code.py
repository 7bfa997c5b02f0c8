"""The arrays of the short code: what comes out is what pickle makes of it, nonsense is refused."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from penstock import SharedArray, SharedQueue
from penstock._native import decode_short, encode_short
from penstock.errors import Misuse
from penstock.shared import OUT_OF_BAND, Unreadable, dump, load

from .conftest import PATIENCE

ARRAY = 7
FORTRAN, WRITABLE, NAMED = 1, 2, 0x80

DTYPES = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    npst.complex_number_dtypes(endianness="?"),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
    npst.byte_string_dtypes(endianness="?", max_len=20),
    npst.unicode_string_dtypes(endianness="?", max_len=20),
    st.sampled_from("bhilqgGBHILQ").map(np.dtype),
    npst.nested_dtypes(),
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Arrays of every kind, as their users have them."""
    dtype = draw(DTYPES)
    shape = draw(npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7))
    count = int(np.prod(shape)) * dtype.itemsize
    array = np.zeros(shape, dtype)
    if array.size and dtype.kind not in "OUV":  # there not every pattern of bits is a value
        content = draw(st.binary(min_size=1, max_size=64)) * count
        array = np.frombuffer(content[:count], dtype).reshape(shape).copy()
    if draw(st.booleans()):
        array = np.asfortranarray(array) if array.ndim else array
    if draw(st.booleans()) and array.ndim:
        array = array[tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in shape)]
    if draw(st.booleans()):
        array = array.transpose()
    if draw(st.booleans()):
        array.flags.writeable = False
    return array


def pickled(array: object) -> Any:
    """What comes of it by pickle, its large buffers read-only."""
    payload = dump(array)
    return load(payload.stream, [bytes(buffer) for buffer in payload.buffers])


FLAGS = ("c_contiguous", "f_contiguous", "writeable", "aligned", "writebackifcopy")


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert (one.dtype.str, one.dtype.metadata) == (other.dtype.str, other.dtype.metadata)
    assert one.shape == other.shape
    assert one.strides == other.strides or not one.size
    for flag in FLAGS:
        assert getattr(one.flags, flag) == getattr(other.flags, flag), flag
    if one.dtype.hasobject:
        assert one.tolist() == other.tolist()
    else:
        assert one.tobytes() == other.tobytes()


@given(arrays())
def test_a_short_array_comes_out_as_by_pickle(array: np.ndarray[Any, Any]):
    record = encode_short(array)
    if record is not None:
        assert record[0] == ARRAY
        assert_same(decode_short(*record), pickled(array))


@pytest.mark.usefixtures("clean")
def test_through_a_queue_too():
    with SharedQueue[Any]() as queue, SharedQueue[Any](ack=True) as leased:

        @given(arrays(), st.sampled_from([1, 700, 20_000]))
        def check(array: np.ndarray[Any, Any], times: int) -> None:
            if array.ndim and array.dtype.itemsize:
                most = (1 << 19) // max(array.nbytes, 1)
                array = np.repeat(array, min(times, most), axis=0)
            queue.put(array)
            assert_same(queue.get(), pickled(array))
            leased.put(array)
            with leased.lease() as again:
                assert_same(again, pickled(array))
                del again

        check()


PLAIN = "?bBhHiIlLqQefdgFDG"


@pytest.mark.parametrize("size", [0, 1, 100, OUT_OF_BAND])
@pytest.mark.usefixtures("clean")
def test_plain_numbers_travel_without_pickle(size: int):
    with SharedQueue[Any]() as queue:
        for letter in PLAIN:
            for array in (np.ones(size, letter), np.ones((2, size), letter).T, np.ones((), letter)):
                queue.put(array)
                with pytest.raises(Unreadable, match=rf"an object \(code {ARRAY}\)"):
                    queue.get_bytes()
                queue.put_many([array, array])
                for again in queue.get_many():
                    assert_same(again, pickled(array))
                    assert again.dtype is array.dtype
                    del again


@pytest.mark.parametrize("name", [">f8", ">i2", ">c16", "|S7", "<U3", ">U3"])
def test_dtypes_that_have_a_name_travel_without_pickle(name: str):
    array = np.zeros((3, 4), name)
    record = encode_short(array)
    assert record is not None
    assert_same(decode_short(*record), pickled(array))


class Mine(np.ndarray[Any, Any]):
    pass


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "array",
    [
        np.array([None, "a"]),
        np.zeros(3, [("a", "i4"), ("b", "f8")]),
        np.zeros(3, "V5"),
        np.zeros(3, "M8[ns]"),
        np.zeros(3, ">m8[25us]"),
        np.zeros(3, np.dtype("f8", metadata={"unit": "m"})),
        np.zeros(10)[::2],
        np.zeros((4, 5, 6)).transpose(1, 0, 2),
        np.zeros((3, 4)).view(Mine),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.float64(1.0),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}"[:30],
)
def test_the_rest_is_left_to_pickle(array: Any):
    assert encode_short(array) is None
    with SharedQueue[Any]() as queue:
        for item in (array, np.repeat(array, 5000)):
            queue.put(item)
            again = queue.get()
            assert_same(again, pickled(item))
            del again


@pytest.mark.usefixtures("clean")
def test_a_shared_array_comes_out_plain():
    with SharedQueue[Any]() as queue:
        for size in (10, 5000):
            for where in (None, queue):
                array = SharedArray.empty(size, queue=where)
                array.fill(3.0)
                queue.put(array)
                again = queue.get()
                assert_same(again, pickled(array))
                is_handed_over = where is not None and array.nbytes >= OUT_OF_BAND
                assert np.shares_memory(again, array) == is_handed_over
                del again, array


@pytest.mark.usefixtures("clean")
def test_a_view_stays_read_only():
    with SharedQueue[Any]() as queue:
        queue.put(np.ones((300, 200), order="F"))
        again = queue.get()
        assert (again.flags.writeable, again.flags.f_contiguous) == (False, True)
        for array in (again, again[1:], again.T.reshape(-1)):
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
            del array
        del again


@pytest.mark.usefixtures("clean")
def test_a_view_that_is_not_aligned():
    with SharedQueue[Any]() as queue:
        memory = SharedArray.empty(80_001, "u1", queue=queue)
        memory[...] = 1
        array = memory[1:].view("i8")
        assert not array.flags.aligned
        queue.put(array)
        again = queue.get()
        assert (again.flags.aligned, again.flags.writeable) == (False, False)
        assert again.tolist() == array.tolist()
        del memory, array, again


@pytest.mark.usefixtures("clean")
def test_a_short_array_is_a_copy():
    with SharedQueue[Any]() as queue:
        array = np.arange(1000)
        queue.put(array)
        again = queue.get()
        array[0] = again[1] = 7
        assert (array[1], again[0]) == (1, 0)


@pytest.mark.usefixtures("clean")
def test_what_is_written_after_the_put_is_not_seen():
    with SharedQueue[Any]() as queue:
        array = np.zeros(1 << 17)
        queue.put(array)
        array[...] = 1
        again = queue.get()
        assert not again.any()
        del again


@pytest.mark.usefixtures("clean")
def test_a_waiting_put_keeps_the_array(thread, blocked):
    with SharedQueue[Any](arena_bytes=1 << 20) as queue:
        queue.put(np.zeros(1 << 20, "u1"))
        putter = thread(lambda: queue.put(np.full(1 << 20, 7, "u1")))
        blocked(queue, putters=1)
        assert not queue.get().any()
        putter.outcome()
        again = queue.get(timeout=PATIENCE)
        assert int(again.min()) == int(again.max()) == 7
        del again


@pytest.mark.usefixtures("clean")
async def test_a_put_that_is_still_to_be_awaited_keeps_the_array(anyio_backend: Any):
    with SharedQueue[Any]() as queue:
        array = np.full(1 << 20, 7, "u1")
        gone = weakref.ref(array)
        put = queue.aput(array)
        del array
        assert gone() is not None
        await put
        del put
        assert gone() is None
        again = queue.get()
        assert int(again.min()) == int(again.max()) == 7
        del again


@pytest.mark.usefixtures("clean")
async def test_awaited_too(anyio_backend: Any):
    with SharedQueue[Any]() as queue:
        for size in (5, 500, 50_000):
            await queue.aput(np.arange(size))
            await queue.aput_many([np.arange(size)])
            for again in await queue.aget_many(min=2):
                assert again.tolist() == list(range(size))
                del again


# What a stranger writes.


def record(how: int, dtype: bytes, lengths: list[int], content: bytes = b"") -> bytes:
    head = struct.pack("BB", how, dtype[0]) + dtype[1:] + bytes([len(lengths)])
    return head + b"".join(struct.pack("=Q", length) for length in lengths) + content


def named(name: str) -> bytes:
    return bytes([NAMED + len(name)]) + name.encode()


DOUBLE = bytes([12])


def test_the_form_of_a_record():
    array = decode_short(ARRAY, record(WRITABLE, DOUBLE, [2, 1], struct.pack("2d", 1, 2)))
    assert_same(array, np.array([[1.0], [2.0]]))
    array = decode_short(ARRAY, record(FORTRAN, named(">i2"), [2, 2], bytes(range(8))))
    assert array.tolist() == [[1, 1029], [515, 1543]]
    assert (array.flags.f_contiguous, array.flags.writeable) == (True, False)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        bytes([0]),
        record(4, DOUBLE, [0]),
        record(0, bytes([17]), [0]),
        record(0, bytes([20]), [0]),
        record(0, bytes([24]), [0]),
        record(0, bytes([127]), [0]),
        record(0, DOUBLE, [1], bytes(7)),
        record(0, DOUBLE, [1], bytes(9)),
        record(0, DOUBLE, [2**63]),
        record(0, DOUBLE, [2**64 - 1]),
        record(0, DOUBLE, [2**61]),
        record(0, DOUBLE, [2**32, 2**32]),
        record(0, DOUBLE, [2**31, 2**31, 2**31, 2**31]),
        record(0, DOUBLE, [1] * 65, bytes(8)),
        record(0, DOUBLE, [])[:-1] + b"\xff",
        record(0, named("|O8"), [1], bytes(8)),
        record(0, named("O"), [1], bytes(8)),
        record(0, named("|V8"), [1], bytes(8)),
        record(0, named("<f8,<f8"), [1], bytes(16)),
        record(0, named("(2,)<f8"), [1], bytes(16)),
        record(0, named("|S0"), [1]),
        record(0, named(""), [1]),
        record(0, named("<"), [1]),
        record(0, named("<f8"), [1], bytes(7)),
        record(0, named("<M8[ns]"), [1], bytes(8)),
        record(0, bytes([21]), [1], bytes(8)),
        record(0, bytes([0xFF]) + b"<f8", [1], bytes(8)),
        record(0, bytes([0x83]) + b"<f\xff", [1], bytes(8)),
    ],
)
def test_records_of_no_array(nonsense: bytes):
    with pytest.raises(Misuse, match="stand for no value"):
        decode_short(ARRAY, nonsense)


@pytest.mark.parametrize(
    "nonsense",
    [
        record(0, named("<f7"), [1], bytes(7)),
        record(0, named("<U999999999999"), [1]),
        record(0, DOUBLE, [0, 2**62, 2**62]),
    ],
)
def test_records_that_numpy_refuses(nonsense: bytes):
    with pytest.raises((TypeError, ValueError)):
        decode_short(ARRAY, nonsense)


@given(st.binary(max_size=200))
def test_a_strangers_bytes_are_refused_or_some_array(content: bytes):
    with contextlib.suppress(Misuse, TypeError, ValueError, DeprecationWarning):
        repr(decode_short(ARRAY, content))


@given(arrays(), st.data())
def test_a_damaged_record_is_refused_or_some_array(
    array: np.ndarray[Any, Any], data: st.DataObject
):
    encoded = encode_short(array)
    if encoded is None:
        return
    content = bytearray(encoded[1])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 40)))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(Misuse, TypeError, ValueError, DeprecationWarning):
        assert decode_short(ARRAY, bytes(content)).nbytes <= len(content)


@given(arrays())
def test_a_cut_record_is_refused(array: np.ndarray[Any, Any]):
    encoded = encode_short(array)
    if encoded is not None:
        content = encoded[1]
        for length in {0, 1, 2, len(content) // 2, len(content) - 1}:
            with pytest.raises((Misuse, TypeError)):
                decode_short(ARRAY, content[:length])


def place_of(pattern: bytes, fd: int) -> int:
    """Where in a file in memory those bytes stand; what is not there is not brought there."""
    step, seen = 1 << 20, b""
    for begin in range(0, os.fstat(fd).st_size, step):
        seen = seen[-len(pattern) :] + os.pread(fd, step, begin)
        if (found := seen.find(pattern)) >= 0:
            return begin + step - len(seen) + found
    raise AssertionError("they stand nowhere")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "damage",
    [
        record(0, b"\x02", [137, 212]),
        record(0, b"\x02", [136, 211]),
        record(0, b"\x02", [2**62, 4]),
        record(0, b"\x02", [2**63, 211]),
        record(0, b"\x02", [0, 211]),
        record(0, b"\x04", [137, 211]),
        record(0, b"\x11", [137, 211]),
        record(0, b"\x80", [137, 211]),
        record(64, b"\x02", [137, 211]),
        record(0, b"\x02", [])[:2] + b"\x01",
        record(0, b"\x02", [])[:2] + b"\x03",
    ],
    ids=lambda damage: damage.hex(),
)
def test_a_head_that_does_not_fit_the_content_beside_it(damage: bytes):
    with SharedQueue[Any](1 << 16) as queue:
        array = np.ones((137, 211), "u1")
        assert array.nbytes > OUT_OF_BAND
        queue.put(array)
        queue.put("behind it")
        at = place_of(record(WRITABLE, b"\x02", [137, 211]), queue.fileno())
        os.pwrite(queue.fileno(), damage, at)
        with pytest.raises(
            Unreadable, match=r"an item of 19 bytes and code 7 stands for no object"
        ):
            queue.get()
        assert queue.get() == "behind it"
        assert queue.statistics().array_bytes == 0


# Without numpy.


def test_numpy_is_imported_by_the_first_array_only():
    program = """
import sys
from penstock import SharedQueue

class Record:
    pass

queue = SharedQueue()
queue.put([Record, {"a": [1]}])
queue.get()
assert "numpy" not in sys.modules
import penstock._native as native
array = native.decode_short(7, bytes([0, 12, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(8))
assert "numpy" in sys.modules
assert array.tolist() == [0.0]
queue.put(array)
assert queue.get().tolist() == [0.0]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PATIENCE)


def test_where_there_is_none():
    program = """
import sys
sys.modules["numpy"] = None
import penstock._native as native
for _ in range(2):
    try:
        native.decode_short(7, bytes([0, 12, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(8))
    except ModuleNotFoundError as failure:
        assert "numpy" in str(failure), failure
    else:
        raise AssertionError
assert native.encode_short(object()) is None
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PATIENCE)


def test_short_arrays_of_every_length_come_whole():
    # Some are written to a room of the call's own before they are sent, which ends with the call.
    with SharedQueue[Any]() as queue:
        arrays = [np.full(length, length % 251, "u1") for length in range(0, 1200, 13)]
        queue.put_many(arrays)
        for array in arrays:
            queue.put(array)
        for array in arrays * 2:
            again = queue.get()
            assert again.tolist() == array.tolist()
            del again
