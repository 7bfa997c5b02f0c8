"""What `dump` puts beside the stream, and that `load` puts it together again."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._native import Port
from penstock.shared import OUT_OF_BAND, Payload, dump, load


def through(value: object) -> object:
    payload = dump(value)
    # As they arrive: somewhere else.
    return load(payload.stream, [bytes(buffer) for buffer in payload.buffers])


@pytest.mark.parametrize(
    ("size", "beside"), [(0, 0), (OUT_OF_BAND - 1, 0), (OUT_OF_BAND, 1), (10 * OUT_OF_BAND, 1)]
)
def test_large_buffers_travel_beside_the_stream(size: int, beside: int):
    array = np.arange(size, dtype="u1")
    payload = dump(array)
    assert len(payload.buffers) == beside
    assert payload.nbytes == len(payload.stream) + size * beside
    assert len(payload.stream) < 300 + size * (1 - beside)
    assert np.array_equal(through(array), array)


def test_the_stream_of_an_array_of_ten_megabytes():
    payload = dump({"delays": np.zeros(10 << 17)})
    assert len(payload.stream) < 300
    assert [buffer.nbytes for buffer in payload.buffers] == [10 << 20]


def test_buffers_are_views_until_they_are_copied():
    array = np.zeros(OUT_OF_BAND, "u1")
    payload = dump(array)
    array[0] = 7
    assert payload.buffers[0][0] == 7


def test_no_more_buffers_than_a_message_can_name():
    arrays = [np.zeros(OUT_OF_BAND, "u1") for _ in range(Port.BUFFERS + 1)]
    payload = dump(arrays)
    assert len(payload.buffers) == Port.BUFFERS
    assert len(through(arrays)) == len(arrays)


@pytest.mark.parametrize("order", ["C", "F"])
def test_order_is_kept_without_a_copy(order: str):
    array = np.asarray(np.arange(40_000).reshape(200, 200), order=order)
    payload = dump(array)
    assert len(payload.buffers) == 1
    again = load(*payload)
    assert again.flags.c_contiguous == array.flags.c_contiguous
    assert np.shares_memory(again, array)


def test_what_is_not_contiguous_is_carried_all_the_same():
    array = np.arange(40_000).reshape(200, 200)[::2, ::3]
    assert np.array_equal(through(array), array)


def test_arrays_are_as_writable_as_their_buffers():
    payload = dump(np.zeros(OUT_OF_BAND))
    assert load(payload.stream, [bytearray(payload.buffers[0])]).flags.writeable
    assert not load(payload.stream, [bytes(payload.buffers[0])]).flags.writeable


def test_a_bare_buffer_comes_out_as_a_view_of_its_bytes():
    value = bytes(range(256)) * 100
    (view,) = load(*dump([pickle.PickleBuffer(value)]))
    assert isinstance(view, memoryview)
    assert view == value


def test_what_does_not_pickle_raises_what_pickle_raises():
    with pytest.raises((AttributeError, pickle.PicklingError)):
        dump(lambda: None)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_plain_values(value: object):
    assert through(value) == value


def test_a_payload_is_its_parts():
    assert Payload(b"abc", [memoryview(b"12345")]).nbytes == 8
