"""What strategies report: to counters, to the current span, to listeners."""

from __future__ import annotations

import logging

import pytest

from penstock import Fallback, Policy, Retry, metrics
from penstock.resilience import Event, subscribe
from penstock.testing import capture
from penstock.tracing import SpanStore, Tracer


def fail():
    raise OSError("x")


def test_counters_by_policy_strategy_and_event():
    def counted(strategy, event):
        return counter.bind(policy="counted", strategy=strategy, event=event).value

    counter = metrics.counter(
        "penstock_resilience_events",
        "what strategies did besides letting a call pass",
        ("policy", "strategy", "event"),
    )
    before = (
        counted("Retry", "retried"),
        counted("Retry", "gave_up"),
        counted("Fallback", "answered"),
    )
    Policy("counted", Fallback(value=0), Retry(attempts=3, delay=0.0)).call(fail)
    after = (
        counted("Retry", "retried"),
        counted("Retry", "gave_up"),
        counted("Fallback", "answered"),
    )
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]


def test_events_of_the_current_span():
    store = SpanStore()
    with Tracer("test", store=store).span("call"):
        Policy("spanned", Fallback(value=0), Retry(attempts=2, delay=0.0)).call(fail)
    (span,) = store.spans()
    assert [event.name for event in span.events] == [
        "Retry.retried",
        "Retry.gave_up",
        "Fallback.answered",
    ]
    assert span.events[0].attributes == {
        "policy": "spanned",
        "attempt": 1,
        "seconds": 0.0,
        "error": "OSError",
    }


def test_listeners_until_they_leave():
    seen = []
    off = subscribe(seen.append)
    policy = Policy("heard", Fallback(value=0))
    policy.call(fail)
    off()
    off()
    policy.call(fail)
    (event,) = seen
    assert event == Event("heard", "", "Fallback", "answered", 0, None, event.error)


def test_a_listener_that_fails_changes_nothing(caplog):
    def broken(event):
        raise ZeroDivisionError

    off = subscribe(broken)
    try:
        with capture("heard") as events, caplog.at_level(logging.ERROR):
            assert Policy("heard", Fallback(value=0)).call(fail) == 0
    finally:
        off()
    assert len(events) == 1
    assert "a listener failed" in caplog.text


def test_a_success_is_no_event():
    with capture() as events:
        assert Policy("quiet", Fallback(value=0), Retry()).call(int) == 0
    assert events == []


def test_the_key_is_told():
    keyed = Policy("keyed", Fallback(value=0)).keyed(lambda key: key)
    with capture("keyed") as events:
        keyed.call(lambda key: fail(), "a")
    assert [event.key for event in events] == ["a"]


def test_an_unfinished_error_is_not_hidden():
    with pytest.raises(OSError, match="x"):
        Policy("quiet").call(fail)
