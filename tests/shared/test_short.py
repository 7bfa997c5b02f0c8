"""The short code: what it takes comes back exactly, the rest is pickle's, nonsense is refused."""

from __future__ import annotations

import contextlib
import enum
import itertools
import math
import sys
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._native import decode_short, encode_short
from penstock.errors import Misuse

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
# All characters, lone surrogates as well: a Python string may hold them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
SCALARS = st.one_of(st.none(), st.booleans(), INT64, st.floats(), TEXT, st.binary(max_size=60))
KEYS = st.text(st.characters(max_codepoint=127), max_size=40)
FLAT = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=8),
    st.lists(SCALARS, max_size=8).map(tuple),
    st.dictionaries(KEYS, SCALARS, max_size=8),
)
# A bare string has no end of its own: the record's is its end.
TAGGED = FLAT.filter(lambda value: not isinstance(value, (str, bytes)))


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return bool(one == other)


@given(FLAT)
def test_what_goes_in_comes_out(value: object):
    record = encode_short(value)
    if record is None:  # more than a value may take; pickle's
        assert len(repr(value)) > 150
    else:
        assert same(decode_short(*record), value)


@given(st.integers(0, 8), st.binary(max_size=200))
def test_a_strangers_bytes_are_refused_or_some_value(code: int, record: bytes):
    try:
        value = decode_short(code, record)
    except Misuse as refused:
        assert f"{len(record)} bytes of code {code}" in str(refused)  # noqa: PT017 - either is right
    else:
        repr(value), hash(repr(value).encode("utf-8", "surrogatepass"))


@given(FLAT, st.data())
def test_a_damaged_record_is_refused_or_some_value(value: object, data: st.DataObject):
    record = encode_short(value)
    if record is None:
        return
    code, content = record[0], bytearray(record[1])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(Misuse):
        repr(decode_short(code, bytes(content)))


@given(TAGGED, st.binary(min_size=1, max_size=4))
def test_nothing_may_stand_behind_a_value(value: object, more: bytes):
    record = encode_short(value)
    if record is not None:
        code, content = record
        with pytest.raises(Misuse, match="stand for no value"):
            decode_short(code, content + more)


@given(TAGGED)
def test_a_cut_record_is_refused(value: object):
    code, content = encode_short(value) or (2, b"")
    for length in range(len(content)):
        with pytest.raises(Misuse):
            decode_short(code, content[:length])


@pytest.mark.parametrize(
    ("code", "record"),
    [(5, b"abc"), (6, b"abcde"), (6, b"\x00\x00\x11\x00"), (7, b""), (65535, b"")],
)
def test_characters_that_are_none(code: int, record: bytes):
    with pytest.raises(Misuse, match="stand for no value"):
        decode_short(code, record)


def test_characters_wider_than_they_need_to_be():
    for code, text in itertools.product((5, 6), ("", "abc", "äöü", "жук")):
        width = {5: "utf-16-le", 6: "utf-32-le"}[code]
        again = decode_short(code, text.encode(width))
        assert again == text
        assert hash(again) == hash(text)
        assert sys.getsizeof(again) <= sys.getsizeof(text)


class Number(int):
    pass


class Colour(enum.IntEnum):
    RED = 1


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        Number(1),
        Colour.RED,
        Pair(1, 2),
        OrderedDict(a=1),
        type("Text", (str,), {})("a"),
        1j,
        bytearray(b"a"),
        {1: 2},
        {"ä": 1},
        {"k" * 256: 1},
        [[]],
        {"a": {}},
        ((),),
        [object()],
        {1, 2},
        list(range(256)),
        dict.fromkeys(map(str, range(256))),
        ["x" * 1100],
        {"a": "x" * 1100},
    ],
    ids=lambda value: f"{type(value).__name__}-{len(repr(value))}",
)
def test_the_rest_is_left_to_pickle(value: object):
    assert encode_short(value) is None


@pytest.mark.parametrize("character", ["a", "é", "ж", "😀", "\ud800"])
@pytest.mark.parametrize("length", [0, 1, 3, 64, 255, 256, 5000])
def test_a_string_of_any_width_and_length(character: str, length: int):
    for value in (character * length, [character * min(length, 250)], {"key": character * 250}):
        record = encode_short(value)
        assert record is not None
        assert decode_short(*record) == value


def test_keys_that_look_alike_stay_apart():
    names = [
        *("", "a", "b", "ab", "ba", "aab", "aba", "abcd", "abce", "bcda", "abcdefg", "abcdefgh"),
        *("abcdefghabcdefgh", "hgfedcbaabcdefgh", "abcdefghijklmnop", "abcdefghijklmnopq"),
        *(f"k{number:03}" for number in range(600)),
        *(f"the same{number:08}" for number in range(600)),
    ]
    for _ in range(2):
        for one, other in zip(names, names[1:], strict=False):
            record = encode_short({one: 1, other: 2})
            assert record is not None
            assert list(decode_short(*record)) == [one, other]


def test_a_key_that_comes_again_is_the_same_object():
    record = encode_short({"a rather new key": 1})
    assert record is not None
    [one], [other] = decode_short(*record), decode_short(*record)
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        assert one is other


def test_a_container_that_others_change_meanwhile():
    shared: list[object] = [1] * 100
    ended = threading.Event()

    def change() -> None:
        while not ended.is_set():
            shared.clear()
            shared.extend(["x"] * 100)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            record = encode_short(shared)
            assert record is not None
            assert set(decode_short(*record)) <= {1, "x"}
    finally:
        ended.set()
        thread.join()


def test_nothing_is_kept_of_a_refused_value():
    marker = object()
    before = sys.getrefcount(marker)
    for _ in range(100):
        assert encode_short([1, "a", marker]) is None
        assert encode_short({"a": 1, "b": marker}) is None
    assert sys.getrefcount(marker) == before
