"""Containers with arrays in them: by the short code, and as pickle would bring them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import penstock.shared.payload
from penstock import SharedArray, SharedQueue
from penstock._native import decode_short, encode_short
from penstock.errors import Misuse

pytestmark = pytest.mark.usefixtures("clean")

MIXED = 8
SHORT = 2

LARGE = np.arange(10_000.0)
BESIDE: dict[str, Any] = {
    "dict": {"number": 1, "name": "é", "image": LARGE, "none": None},
    "list": [LARGE, 2.5, True, b"raw"],
    "tuple": (1, LARGE),
    "several": [LARGE[:5000], LARGE.astype("u1").repeat(3), LARGE.astype("c8"), -1],
    "shapes": {"F": np.asfortranarray(LARGE.reshape(100, 100)), "3": LARGE.reshape(10, 10, 100)},
    "locked": {"a": np.frombuffer(bytes(40_000), "i4")},
    "many": [LARGE[n : n + 4096] for n in range(40)],
}
NOT: dict[str, Any] = {
    "short": {"array": np.arange(3), "large": LARGE},
    "twice": [LARGE, LARGE],
    "deep": [1, [LARGE]],
    "deeper": {"a": {"b": LARGE}},
    "gaps": [LARGE[::2]],
    "named": [LARGE.astype(">f8")],
    "fields": [np.zeros(5000, [("x", "i4"), ("y", "f8")])],
    "objects": [np.full(5000, None)],
    "subclass": [np.ma.masked_array(LARGE)],
    "keys": {1: LARGE},
    "long": {"text": "x" * 2000, "array": LARGE},
    "set": [LARGE, {1}],
}


@pytest.fixture
def pickled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes by pickle."""
    seen: list[Any] = []
    dump = penstock.shared.payload.dump

    def noted(value: object) -> Any:
        seen.append(value)
        return dump(value)

    monkeypatch.setattr(penstock.shared.payload, "dump", noted)
    return seen


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found, expected)
        assert found.flags.f_contiguous == expected.flags.f_contiguous
        assert found.flags.c_contiguous == expected.flags.c_contiguous
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


PUTS: dict[str, Callable[[SharedQueue[Any], Any], None]] = {
    "put": lambda queue, item: queue.put(item),
    "put_nowait": lambda queue, item: queue.put_nowait(item),
    "put_many": lambda queue, item: queue.put_many([item]),
}


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("name", BESIDE)
def test_it_goes_without_pickle(name: str, put: str, pickled: list[Any]):
    with SharedQueue[Any]() as queue:
        item = BESIDE[name]
        PUTS[put](queue, item)
        assert pickled == []
        assert encode_short(item) is None, "not in one record"
        again = queue.get()
        assert_same(again, pickle.loads(pickle.dumps(item, 5)))
        for value in again.values() if isinstance(again, dict) else again:
            if isinstance(value, np.ndarray):
                with pytest.raises(ValueError, match="WRITEABLE"):
                    value.flags.writeable = True
        PUTS[put](queue, item)
        assert_same(queue.get_many()[0], item)
        del again, value
        assert queue.statistics().arrays == 0


@pytest.mark.parametrize("name", NOT)
def test_the_rest_is_pickles_affair(name: str, pickled: list[Any]):
    with SharedQueue[Any]() as queue:
        item = NOT[name]
        for put in PUTS.values():
            put(queue, item)
            assert len(pickled) == 1
            pickled.clear()
            again = queue.get()
            assert_same(again, pickle.loads(pickle.dumps(item, 5)))
        if name == "twice":
            assert again[0] is again[1]
        del again


def test_what_was_born_in_the_queue_is_not_copied(pickled: list[Any]):
    with SharedQueue[Any]() as queue:
        image = SharedArray.empty((100, 100), queue=queue)
        image[...] = 7
        queue.put({"number": 1, "image": image, "half": image[50:]})
        again = queue.get()
        assert pickled == []
        assert np.shares_memory(again["image"], image)
        assert np.shares_memory(again["half"], image)
        assert queue.statistics().arrays == 1
        del again


async def test_what_is_still_to_be_awaited_keeps_its_arrays(anyio_backend: Any):
    with SharedQueue[Any](max_items=1) as queue:
        queue.put("first")
        item = {"array": LARGE + 1}
        waiting = queue.aput(item)
        item["array"] = None
        item.clear()
        assert await queue.aget() == "first"
        await waiting
        assert_same(await queue.aget(), {"array": LARGE + 1})


def test_under_a_lease():
    with SharedQueue[Any](ack=True) as queue:
        queue.put(BESIDE["dict"])
        with queue.lease() as item:
            assert_same(item, BESIDE["dict"])
        del item


def test_when_there_is_no_room():
    with SharedQueue[Any](1 << 20, arena_bytes=1 << 18) as queue:
        with pytest.raises(Misuse, match="an item of"):
            queue.put([np.zeros(1 << 15), np.zeros(1 << 15)])
        queue.put({"a": LARGE})
        assert_same(queue.get(), {"a": LARGE})


@pytest.mark.parametrize("code", [SHORT, MIXED])
def test_a_record_without_its_arrays_is_nonsense(code: int):
    array = bytes([27, 2, 12, 1]) + (10_000).to_bytes(8, "little")
    for record in (array, bytes([25, 1]) + array, bytes([26, 1, 1]) + b"a" + array):
        with pytest.raises(Misuse, match=f"{len(record)} bytes of code {code} stand for no value"):
            decode_short(code, record)
