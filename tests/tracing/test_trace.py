"""`tracer.trace`, and traces as trees and waterfalls."""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Coroutine

import anyio
import pytest

from penstock.errors import Misuse
from penstock.tracing import SpanStore, Trace, Tracer, current_span, group


async def get_user(key: str, *, turns: int = 1) -> str:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    span = current_span()
    assert span is not None
    span.set_attribute("key", key)
    return key


class Getter:
    async def __call__(self, key: str) -> str:
        return await get_user(key)


def begun(key: str) -> Coroutine[None, None, str]:
    return get_user(key)


@pytest.mark.parametrize(
    "fn", [get_user, functools.partial(get_user, turns=3), Getter(), Getter().__call__, begun]
)
async def test_an_async_call_is_a_span(tracer: Tracer, fn):
    assert await tracer.trace("fetch_user", fn, "123") == "123"
    assert current_span() is None
    (span,) = tracer.store.spans()
    assert (span.name, span.attributes, span.status) == ("fetch_user", {"key": "123"}, "unset")


def test_a_plain_call_is_a_span(tracer: Tracer):
    def work(a: int, *, b: int) -> int:
        span = current_span()
        assert span is not None
        assert span.name == "work"
        return a + b

    assert tracer.trace("work", work, 1, b=2) == 3
    assert current_span() is None
    assert tracer.store.spans()[0].name == "work"


async def test_exceptions_pass_through(tracer: Tracer):
    error = LookupError("gone")

    def fail() -> None:
        raise error

    async def afail() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    def begun_to_fail() -> Coroutine[None, None, None]:
        return afail()

    for fn in (fail, afail, begun_to_fail):
        with pytest.raises(LookupError) as caught:
            result = tracer.trace("work", fn)
            if result is not None:
                await result
        assert caught.value is error
        assert current_span() is None
    assert [span.description for span in tracer.store.spans()] == ["LookupError: gone"] * 3


async def test_calls_nest(tracer: Tracer):
    async def outer() -> str:
        return await tracer.trace("inner", get_user, "1")

    with tracer.span("root") as root:
        await tracer.trace("outer", outer)
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    assert [(depth, span.name) for depth, span in trace.walk()] == [
        (0, "root"),
        (1, "outer"),
        (2, "inner"),
    ]


def tree(tracer: Tracer) -> Trace:
    with tracer.span("charge", {"order.id": "42"}) as root:
        with tracer.span("reserve"), tracer.span("row lock"):
            pass
        with pytest.raises(ValueError, match="declined"), tracer.span("pay", kind="client"):
            raise ValueError("declined")
    trace = tracer.get_trace(root.trace_id)
    assert trace is not None
    return trace


def test_it_prints_as_a_tree(tracer: Tracer):
    trace = tree(tracer)
    text = re.sub(r"[\d.]+ (µs|ms|s)\b", "T", str(trace))
    assert text.splitlines() == [
        f"trace {trace.trace_id}: 4 spans, T",
        "charge T order.id='42'",
        "├─ reserve T",
        "│  └─ row lock T",
        "└─ pay T (client) ERROR ValueError: declined",
    ]
    assert trace.is_error


def test_it_is_a_waterfall(tracer: Tracer):
    trace = tree(tracer)
    rows = trace.waterfall()
    assert [(row.name, row.depth) for row in rows] == [
        ("charge", 0),
        ("reserve", 1),
        ("row lock", 2),
        ("pay", 1),
    ]
    assert rows[0].start == 0
    assert rows[0].duration == pytest.approx(trace.duration)
    assert rows[1].start <= rows[2].start <= rows[3].start
    assert all(row.start + row.duration <= trace.duration + 1e-9 for row in rows)
    assert rows[3].status == "error"


def test_what_has_no_parent_here_stands_at_the_top(tracer: Tracer):
    trace = tree(tracer)
    partial = Trace(span for span in trace if span.name != "reserve")
    assert [(depth, span.name) for depth, span in partial.walk()] == [
        (0, "charge"),
        (1, "pay"),
        (0, "row lock"),
    ]
    assert partial.root.name == "charge"
    assert Trace([trace.spans[2]]).root.name == "row lock"


def test_traces_are_grouped_found_and_pickled(tracer: Tracer):
    first, second = tree(tracer), tree(tracer)
    assert [trace.trace_id for trace in tracer.traces()] == [first.trace_id, second.trace_id]
    assert group([]) == []
    assert tracer.get_trace("f" * 32) is None
    again = pickle.loads(pickle.dumps(first))
    assert (again, hash(again)) == (first, hash(first))
    assert first != second
    with pytest.raises(Misuse, match="not of 2"):
        Trace([*first, *second])
    with pytest.raises(Misuse, match="not of 0"):
        Trace([])


def test_a_deep_trace_needs_no_deep_stack():
    tracer = Tracer("deep", store=SpanStore(5000))
    spans = []
    for _ in range(3000):
        parent = spans[-1] if spans else None
        spans.append(tracer.span("level", parent=parent))
    for span in reversed(spans):
        span.end()
    trace = tracer.get_trace(spans[0].trace_id)
    assert trace is not None
    assert trace.waterfall()[-1].depth == 2999
    assert len(str(trace).splitlines()) == 3001
