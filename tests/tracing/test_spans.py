"""Spans: nesting, what is kept of them, how they end, what they survive."""

from __future__ import annotations

import gc
import pickle
import traceback
import weakref

import anyio
import pytest

from penstock.errors import Misuse
from penstock.tracing import (
    FinishedSpan,
    Sampler,
    SpanStore,
    TraceContext,
    Tracer,
    current_span,
    statistics,
)


def only(tracer: Tracer) -> FinishedSpan:
    (span,) = tracer.store.spans()
    return span


def test_spans_nest_by_blocks(tracer: Tracer):
    assert current_span() is None
    with tracer.span("outer") as outer:
        assert current_span() is outer
        with tracer.span("inner") as inner:
            assert current_span() is inner
            assert TraceContext.current() == inner.context
        with tracer.span("second"):
            pass
        assert current_span() is outer
    assert current_span() is None
    trace = tracer.get_trace(outer.trace_id)
    assert trace is not None
    assert [(depth, span.name) for depth, span in trace.walk()] == [
        (0, "outer"),
        (1, "inner"),
        (1, "second"),
    ]
    assert trace.root.parent_id is None
    assert trace.spans[1].parent_id == outer.span_id
    assert outer.trace_id == inner.trace_id
    assert all(span.start_ns <= span.end_ns for span in trace)
    assert trace.root.start_ns <= trace.spans[1].start_ns
    assert trace.spans[2].end_ns <= trace.root.end_ns


def test_what_is_said_is_kept(tracer: Tracer):
    other = TraceContext().child()
    attributes = {"text": "x", "int": -3, "float": 0.5, "bool": True, "list": ["a", 1, 2.5, False]}
    with tracer.span("work", attributes, kind="consumer", links=[other]) as span:
        attributes["text"] = "changed later"
        span.set_attribute("more", "y")
        span.set_attributes({"int": 4, "none": None})
        span.add_event("halfway", {"done": 3})
        span.add_link(other, {"why": "because"})
        span.set_status("ok")
        span.update_name("renamed")
        assert span.is_recording
    span.set_attribute("late", 1)
    assert not span.is_recording
    kept = only(tracer)
    assert kept.attributes == {
        "text": "x",
        "int": 4,
        "float": 0.5,
        "bool": True,
        "list": ("a", 1, 2.5, False),
        "more": "y",
    }
    assert type(kept.attributes["bool"]) is bool
    assert (kept.name, kept.kind, kept.status, kept.tracer) == (
        "renamed",
        "consumer",
        "ok",
        "tests",
    )
    (event,) = kept.events
    assert (event.name, event.attributes) == ("halfway", {"done": 3})
    assert kept.start_ns <= event.time_ns <= kept.end_ns
    assert [(link.trace_id, link.span_id) for link in kept.links] == [
        (other.trace_id, other.span_id)
    ] * 2
    assert kept.links[1].attributes == {"why": "because"}
    assert pickle.loads(pickle.dumps(kept)) == kept


class Hostile:
    def __init__(self, victim: dict[str, object] | None = None) -> None:
        self.victim = victim

    def __str__(self) -> str:
        if self.victim is None:
            raise RuntimeError("no text")
        self.victim.clear()
        return "cleared"


def test_no_value_makes_it_raise(tracer: Tracer):
    mapping: dict[object, object] = {
        "hostile": Hostile(),
        7: "key",
        "huge": 1 << 80,
        "surrogate": "\udc80",
        "nan": float("nan"),
        "bytes": b"x",
        "nested": [[1], Hostile()],
    }
    with tracer.span("\udcff", mapping) as span:
        span.set_attributes({"long": "é" * 20_000})
        victim: dict[str, object] = {}
        victim.update(a=Hostile(victim), b=2)
        span.set_attributes(victim)
    kept = only(tracer)
    assert "Hostile" in kept.attributes["hostile"]
    assert kept.attributes["7"] == "key"
    assert kept.attributes["huge"] == str(1 << 80)
    assert kept.attributes["bytes"] == "b'x'"
    assert kept.attributes["nested"][0] == "[1]"
    assert kept.attributes["long"] == "é" * 8192
    assert (kept.attributes["a"], kept.attributes["b"]) == ("cleared", 2)


def test_its_size_is_bounded_and_what_is_over_is_counted(tracer: Tracer):
    with tracer.span("large", {f"k{n}": n for n in range(130)}) as span:
        for n in range(131):
            span.add_event("e", {"n": n})
            span.add_link(span)
    kept = only(tracer)
    assert (len(kept.attributes), len(kept.events), len(kept.links)) == (128, 128, 128)
    assert kept.dropped == 2 + 3 + 3


def test_an_exception_is_the_span_s_error(tracer: Tracer):
    with pytest.raises(KeyError), tracer.span("work"):
        raise KeyError("k")
    kept = only(tracer)
    assert (kept.status, kept.description) == ("error", "KeyError: 'k'")
    (event,) = kept.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "KeyError"
    assert event.attributes["exception.message"] == "'k'"
    assert 'raise KeyError("k")' in event.attributes["exception.stacktrace"]


def test_a_status_that_was_set_stands(tracer: Tracer):
    with pytest.raises(ValueError, match="expected"), tracer.span("work") as span:
        span.set_status("ok")
        raise ValueError("expected")
    assert only(tracer).status == "ok"


def test_an_exception_that_is_dealt_with_is_an_event(tracer: Tracer):
    with tracer.span("work") as span:
        try:
            raise OSError("gone")
        except OSError as error:
            span.record_exception(error, {"attempt": 1})
    kept = only(tracer)
    assert kept.status == "unset"
    assert kept.events[0].attributes["attempt"] == 1


async def test_a_cancellation_is_no_error(tracer: Tracer):
    with anyio.CancelScope() as scope:
        with tracer.span("work"):
            scope.cancel()
            await anyio.sleep_forever()
    kept = only(tracer)
    assert (kept.status, [event.name for event in kept.events]) == ("unset", ["cancelled"])
    assert current_span() is None


def test_a_span_without_a_block_ends_when_told(tracer: Tracer):
    span = tracer.span("manual")
    assert current_span() is None
    with span.activate() as inside:
        assert inside is span is current_span()
    assert span.is_recording
    span.end()
    span.end()
    assert only(tracer).name == "manual"


def test_a_span_serves_one_block(tracer: Tracer):
    with tracer.span("work") as span, pytest.raises(Misuse, match="'work' was entered twice"), span:
        pass
    with pytest.raises(Misuse, match="entered twice"), span:
        pass
    activation = span.activate()
    with activation:
        pass
    with pytest.raises(Misuse, match="entered twice"), activation:
        pass
    assert current_span() is None


def test_a_span_that_is_dropped_is_counted(tracer: Tracer):
    before = statistics().abandoned_spans
    tracer.span("forgotten")
    assert statistics().abandoned_spans == before + 1
    assert len(tracer.store) == 0


def test_changes_after_the_end_are_counted(tracer: Tracer):
    with tracer.span("work") as span:
        pass
    before = statistics().changes_after_end
    span.update_name("late")
    span.set_status("error", "late")
    assert statistics().changes_after_end == before + 2
    assert only(tracer).status == "unset"


def test_a_suspended_block_that_nobody_knows_is_garbage(tracer: Tracer):
    class Marker:
        pass

    def generate():
        with tracer.span("never left"):
            marker = Marker()
            markers.append(weakref.ref(marker))
            yield

    markers: list[weakref.ref[Marker]] = []
    generator = generate()
    next(generator)
    del generator
    gc.collect()
    assert markers[0]() is None
    assert current_span() is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda tracer: tracer.span(7), "name is text"),
        (lambda tracer: tracer.span("x", 7), "attributes are a mapping"),
        (lambda tracer: tracer.span("x", parent="y"), "parent is a Span"),
        (lambda tracer: tracer.span("x", links=["y"]), "link leads to a Span"),
        (lambda tracer: tracer.span("x", kind="y"), 'kind="y"'),
        (lambda tracer: tracer.span("x").set_status("fine"), "says nothing"),
        (lambda tracer: tracer.get_trace("xyz"), "32 hexadecimal"),
        (lambda _: Tracer(""), "needs a name"),
        (lambda _: Sampler.ratio(1.5), "no share"),
        (lambda _: SpanStore(0), "max_spans=0"),
    ],
)
def test_what_cannot_work_is_refused(tracer: Tracer, call, words):
    with pytest.raises(Misuse, match=words):
        call(tracer)


def test_samplers_decide_and_children_follow():
    store = SpanStore()
    off = Tracer("off", sampler=Sampler.parent_based(Sampler.never()), store=store)
    on = Tracer("on", store=store)
    with off.span("root") as root:
        assert not root.is_recording
        with on.span("child") as child:
            assert not child.is_recording
            child.set_attribute("a", 1)
            assert child.context.trace_id == root.trace_id
            assert not TraceContext.from_headers(child.context.to_headers()).is_sampled
    assert len(store) == 0
    remote = TraceContext.from_headers(
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    )
    with off.span("continued", parent=remote) as continued:
        assert continued.is_recording
        assert continued.parent_id == "00f067aa0ba902b7"
    assert len(store) == 1
    with off.span("x"), on.span("own root", parent=TraceContext()) as own:
        assert own.is_recording
    always = Tracer("always", sampler=Sampler.always(), store=store)
    with off.span("x"), always.span("y") as span:
        assert span.is_recording


def test_a_ratio_is_the_same_for_a_whole_trace():
    store = SpanStore()
    half = Tracer("half", sampler=Sampler.ratio(0.5), store=store)
    for _ in range(200):
        with half.span("root"), half.span("child"):
            pass
    traces = half.traces()
    assert 50 < len(traces) < 150
    assert all(len(trace) == 2 for trace in traces)


def test_the_store_is_bounded():
    tracer = Tracer("tests", store=SpanStore(max_spans=3))
    for n in range(5):
        with tracer.span(f"s{n}"):
            pass
    assert [span.name for span in tracer.store.spans()] == ["s2", "s3", "s4"]
    assert tracer.store.statistics() == {"kept": 3, "finished": 5, "dropped": 2}
    taken = tracer.store.take()
    assert len(tracer.store) == 0
    tracer.store.add(taken[:2])
    assert [span.name for span in tracer.store.spans()] == ["s2", "s3"]


def test_nothing_is_printed_or_raised_where_the_traceback_cannot_be_made(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no traceback")

    monkeypatch.setattr(traceback, "format_exception", broken)
    with pytest.raises(ZeroDivisionError), tracer.span("work"):
        raise ZeroDivisionError
    assert "exception.stacktrace" not in only(tracer).events[0].attributes
