"""The W3C's rules for headers, as from_headers and to_headers follow them."""

from __future__ import annotations

import pickle
import time

import pytest

from penstock.errors import Misuse
from penstock.tracing import TraceContext, statistics

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def counted(name: str, headers: object) -> tuple[TraceContext, int]:
    before = getattr(statistics(), name)
    context = TraceContext.from_headers(headers)
    return context, getattr(statistics(), name) - before


class Headers:
    """What frameworks have: `items()` gives every header, repeated ones too."""

    def __init__(self, *pairs: tuple[object, object]) -> None:
        self.pairs = pairs

    def items(self) -> list[tuple[object, object]]:
        return list(self.pairs)


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": PARENT},
        {"Traceparent": PARENT},
        {"TRACEPARENT": f" {PARENT}\t"},
        {b"traceparent": PARENT.encode()},
        {"traceparent": [PARENT]},
        [("host", "x"), ("traceparent", PARENT)],
        [(b"host", b"x"), (b"traceparent", PARENT.encode())],
        (pair for pair in [("traceparent", PARENT)]),
        Headers(("traceparent", PARENT)),
        {"traceparent": PARENT, 3: 4, "tracestat": "x", "x-traceparent": "y"},
        [("traceparent", PARENT), ("alone",), 7],
    ],
    ids=range(11),
)
def test_headers_of_every_kind_are_read(headers):
    context, malformed = counted("malformed_traceparent", headers)
    assert (context.trace_id, context.span_id) == (TRACE, SPAN)
    assert context.is_sampled
    assert malformed == 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        PARENT[:-1],
        f"{PARENT}-",
        f"{PARENT}0",
        PARENT.upper(),
        PARENT.replace("00-", "ff-", 1),
        PARENT.replace("00-", "0g-", 1),
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace(SPAN, "0" * 16),
        PARENT.replace("-01", "-0x"),
        PARENT.replace("-", "_"),
        f"cc{PARENT[2:]}.later",
        "é" * 55,
        "\udcff" * 55,
        b"\xff" * 55,
        None,
        55,
        [PARENT, PARENT],
        [PARENT, "x"],
    ],
)
def test_a_malformed_traceparent_is_counted_and_starts_anew(value):
    headers = {"traceparent": value, "tracestate": "foo=1", "baggage": "a=1"}
    context, malformed = counted("malformed_traceparent", headers)
    assert malformed == 1
    assert not context.is_valid
    assert context.tracestate == ""
    assert context.baggage == {"a": "1"}
    child = context.child()
    assert child.is_valid
    assert child.trace_id != TRACE


def test_two_traceparents_are_none():
    pairs = [("traceparent", PARENT), ("Traceparent", PARENT)]
    for headers in (pairs, dict(pairs), Headers(*pairs)):
        context, malformed = counted("malformed_traceparent", headers)
        assert (context.is_valid, malformed) == (False, 1)


@pytest.mark.parametrize("rest", ["", "-", "-what-the-future-will-be-like"])
def test_a_later_version_is_read_and_sent_as_ours(rest):
    context = TraceContext.from_headers({"traceparent": f"cc-{TRACE}-{SPAN}-ff{rest}"})
    assert context.to_headers()["traceparent"] == f"00-{TRACE}-{SPAN}-03"


def test_flags_without_a_meaning_are_not_passed_on():
    context = TraceContext.from_headers({"traceparent": f"00-{TRACE}-{SPAN}-fc"})
    assert not context.is_sampled
    assert context.to_headers() == {"traceparent": f"00-{TRACE}-{SPAN}-00"}


def test_tracestates_are_joined_in_order_and_go_on():
    headers = [
        ("tracestate", "foo=1 , bar=2"),
        ("traceparent", PARENT),
        ("tracestate", ""),
        ("tracestate", "baz=3,foo=4"),
    ]
    context = TraceContext.from_headers(headers)
    assert context.tracestate == "foo=1,bar=2,baz=3"
    child = context.child().to_headers()
    assert child["tracestate"] == "foo=1,bar=2,baz=3"
    assert child["traceparent"].split("-")[1] == TRACE
    assert child["traceparent"].split("-")[2] != SPAN


@pytest.mark.parametrize(
    "value",
    [
        "foo",
        "foo=",
        "=1",
        "foo=1=2",
        "Foo=1",
        "foo=1,b ar=2",
        ",".join(f"k{n}=v" for n in range(33)),
        "foo=\x7f",
        b"foo=\xff",
        7,
    ],
)
def test_a_malformed_tracestate_goes_alone(value):
    context, malformed = counted(
        "malformed_tracestate", {"traceparent": PARENT, "tracestate": value}
    )
    assert malformed == 1
    assert context.trace_id == TRACE
    assert context.to_headers() == {"traceparent": PARENT}


def test_a_tracestate_without_a_parent_is_not_read():
    context, malformed = counted("malformed_tracestate", {"tracestate": "=;="})
    assert (context, malformed) == (TraceContext(), 0)
    assert context.to_headers() == {}


def test_baggage_is_decoded_and_encoded_again():
    value = "user.id=Am%C3%A9lie%20%2C;meta=1 , empty=,bad key=x,alone"
    context, malformed = counted("malformed_baggage", {"baggage": value})
    assert context.baggage == {"user.id": "Amélie ,", "empty": ""}
    assert malformed == 2
    assert context.to_headers() == {"baggage": "user.id=Am%C3%A9lie%20%2C;meta=1,empty="}


def test_a_correlation_id_comes_and_goes():
    context = TraceContext.from_headers({"X-Correlation-ID": "req-7"})
    assert context.correlation_id == "req-7"
    assert context.child().to_headers()["x-correlation-id"] == "req-7"
    for bad in ("", "x" * 257, "é", "a\nb", None):
        context, malformed = counted("malformed_correlation_id", {"x-correlation-id": bad})
        assert (context.correlation_id, malformed) == (None, 1)


@pytest.mark.parametrize("headers", [None, 7, object()])
def test_what_is_no_headers_is_refused(headers):
    with pytest.raises(Misuse, match="mapping or pairs"):
        TraceContext.from_headers(headers)


def test_an_iterator_that_fails_says_so_itself():
    def failing():
        yield "traceparent", PARENT
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        TraceContext.from_headers(failing())


def full() -> TraceContext:
    context = TraceContext.from_headers({"traceparent": PARENT, "tracestate": "foo=1"})
    return context.replace(
        baggage={"user.id": "42"}, deadline=time.monotonic() + 5, correlation_id="req-1"
    )


def test_the_binary_form_carries_everything():
    context = full()
    again = TraceContext.from_bytes(context.to_bytes())
    assert again.to_headers() == context.to_headers()
    assert again.deadline == pytest.approx(context.deadline, abs=0.001)
    assert 4 < again.remaining <= 5
    bare = TraceContext.from_headers({"traceparent": PARENT})
    assert len(bare.to_bytes()) == 26
    assert TraceContext.from_bytes(bare.to_bytes()) == bare
    assert pickle.loads(pickle.dumps(bare)) == bare


@pytest.mark.parametrize("binary", [b"", b"\x01" * 26, full().to_bytes()[:-1], b"\0" * 25])
def test_malformed_bytes_are_counted_and_empty(binary):
    before = statistics().malformed_binary
    assert TraceContext.from_bytes(binary) == TraceContext()
    assert statistics().malformed_binary == before + 1


def test_replace_changes_what_is_given_and_nothing_else():
    context = full()
    assert context.replace(correlation_id=None).baggage == {"user.id": "42"}
    assert context.replace(correlation_id=None).correlation_id is None
    assert context.replace(deadline=None).remaining is None
    assert context.replace(baggage={}).correlation_id == "req-1"
    assert context.replace() == context
    assert hash(context.replace()) == hash(context)
    assert context != context.replace(baggage={})
    with pytest.raises(Misuse, match='baggage "b ad"'):
        context.replace(baggage={"b ad": "x"})
    with pytest.raises(Misuse, match="correlation_id='é'"):
        context.replace(correlation_id="é")
    with pytest.raises(Misuse, match="'trace_id'"):
        context.replace(trace_id="7")
