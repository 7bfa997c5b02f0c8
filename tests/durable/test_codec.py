"""Payloads with and without msgspec: the same JSON, the same refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from penstock._durable import codec
from penstock._durable.codec import JsonCodec, Undecodable, Unencodable
from penstock.errors import Misuse


@dataclass
class Part:
    name: str
    weight: float = 1.0


@dataclass
class Whole:
    id: int
    parts: list[Part]
    note: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    inner: Whole | None = None


@pytest.fixture(params=["msgspec", "standard library"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.param == "standard library":
        monkeypatch.setattr(codec, "find_spec", lambda name: None)
    return JsonCodec


VALUES = [
    (None, {"a": [1, 2.5, None, True, "é"]}),
    (int, 7),
    (float, 1.5),
    (str | None, None),
    (list[Part], [Part("a"), Part("b", 2.5)]),
    (tuple[int, ...], (1, 2)),
    (dict[str, list[int]], {"a": [1]}),
    (Whole, Whole(1, [Part("a")], "n", {"x": 1}, (1, "b"), Whole(2, []))),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_comes_back(make, kind, value):
    json_codec = make(kind)
    assert json_codec.decode(json_codec.encode(value)) == value


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_either_reads_what_the_other_wrote(kind, value, monkeypatch):
    fast = JsonCodec(kind)
    monkeypatch.setattr(codec, "find_spec", lambda name: None)
    slow = JsonCodec(kind)
    assert slow.encode(value) == fast.encode(value)
    assert slow.decode(fast.encode(value)) == value


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (int, b'"7"'),
        (int, b"true"),
        (int, b""),
        (int, b"{"),
        (int, b"\xff"),
        (str, b"7"),
        (list[int], b'[1,"a"]'),
        (dict[str, int], b"[]"),
        (tuple[int, str], b"[1]"),
        (Part, b"{}"),
        (Part, b'{"name":1}'),
        (Part, b"[]"),
        (str | None, b"7"),
        (Whole, b'{"id":1,"parts":[{"name":"a","weight":"heavy"}]}'),
    ],
)
def test_what_is_not_the_type_is_refused(make, kind, payload):
    with pytest.raises(Undecodable):
        make(kind).decode(payload)


def test_the_refusal_says_where(monkeypatch):
    monkeypatch.setattr(codec, "find_spec", lambda name: None)
    with pytest.raises(Undecodable, match=r"Whole\.parts: Part\.weight: expected float, got str"):
        JsonCodec(Whole).decode(b'{"id":1,"parts":[{"name":"a","weight":"heavy"}]}')


def test_fields_of_a_newer_version_are_left_out(make):
    assert make(Part).decode(b'{"name":"a","colour":"red"}') == Part("a")


@pytest.mark.parametrize("value", [object(), {1, 2, 3}.__iter__(), "\ud800", 1j])
def test_what_is_not_plain_is_not_written(make, value):
    with pytest.raises(Unencodable):
        make().encode(value)


def test_not_a_number_is_never_written_as_such(make):
    try:
        written = make().encode(float("nan"))
    except Unencodable:
        return
    json.loads(written, parse_constant=pytest.fail)


class Opaque:
    pass


@pytest.mark.parametrize("kind", [Opaque, "nonsense"])
def test_a_type_that_cannot_be_decoded_is_refused_at_once(make, kind):
    with pytest.raises(Misuse, match="cannot be decoded from JSON"):
        make(kind)
