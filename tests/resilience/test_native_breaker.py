"""The breaker's state: what it lets through, whom it tells, and what it refuses to be."""

import sys
import threading

import pytest

from penstock._native import BreakerState
from penstock.errors import Closed, Conflict, Misuse
from penstock.resilience import CircuitOpen

SECOND = 1_000_000_000


def opened(**keywords):
    breaker = BreakerState(failure_threshold=2, open_for=SECOND, **keywords)
    for _ in range(2):
        breaker.record(breaker.acquire(), False, 0, 0)
    return breaker


def test_it_opens_is_probed_and_closes():
    changes = []
    breaker = opened(success_threshold=2, probes=2, on_transition=lambda *it: changes.append(it))
    assert breaker.state == "open"
    assert breaker.acquire(SECOND - 16) is None
    assert breaker.retry_after(SECOND // 4) == SECOND * 3 // 4
    first, second = breaker.acquire(SECOND), breaker.acquire(SECOND)
    assert first is not None
    assert second is not None
    assert breaker.acquire(SECOND) is None
    assert breaker.state == "half_open"
    assert breaker.snapshot(SECOND)["probes"] == 2
    breaker.record(first, True, 0, SECOND)
    breaker.record(second, True, 0, SECOND)
    assert breaker.state == "closed"
    assert breaker.retry_after(SECOND) == 0
    assert changes == [
        ("closed", "open", 1, 0, True),
        ("open", "half_open", 2, SECOND, True),
        ("half_open", "closed", 3, SECOND, True),
    ]


def test_a_cancelled_probe_is_given_back_and_counts_nothing():
    breaker = opened()
    probe = breaker.acquire(SECOND)
    assert breaker.acquire(SECOND) is None
    breaker.record(probe, None, 0, SECOND)
    assert breaker.state == "half_open"
    again = breaker.acquire(SECOND)
    assert again is not None
    breaker.record(probe, False, 0, SECOND)
    assert breaker.state == "half_open", "a permit counts once"
    breaker.record(again, False, 0, SECOND)
    assert breaker.state == "open"


def test_a_cancelled_call_is_no_failure():
    breaker = BreakerState(failure_threshold=1)
    for _ in range(10):
        breaker.record(breaker.acquire(), None)
    assert breaker.state == "closed"


def test_what_was_let_through_before_a_change_does_not_count_after_it():
    breaker = BreakerState(failure_threshold=2, open_for=SECOND)
    late = breaker.acquire()
    for _ in range(2):
        breaker.record(breaker.acquire(), False, 0, 0)
    probe = breaker.acquire(SECOND)
    breaker.record(late, False, 0, SECOND)
    assert breaker.state == "half_open"
    breaker.record(probe, True, 0, SECOND)
    breaker.record(late, False, 0, SECOND)
    breaker.record(late, False, 0, SECOND)
    assert breaker.state == "closed"


def test_rates_of_the_last_calls_and_slow_ones():
    breaker = BreakerState(window="count", size=10, failure_rate=0.5, min_calls=4)
    for ok in (True, False, True, False):
        assert breaker.state == "closed"
        breaker.record(breaker.acquire(), ok)
    assert breaker.state == "open"
    breaker = BreakerState(window="time", size=SECOND, slow_rate=1.0, slow_after=100, min_calls=2)
    for _ in range(2):
        breaker.record(breaker.acquire(0), True, 100, 0)
    assert breaker.state == "open"
    breaker = BreakerState(window="time", size=SECOND, failure_threshold=2)
    breaker.record(breaker.acquire(0), False, 0, 0)
    breaker.record(breaker.acquire(2 * SECOND), False, 0, 2 * SECOND)
    assert breaker.state == "closed", "the first was too long ago"
    assert breaker.snapshot(2 * SECOND)["failures"] == 1


def test_modes():
    breaker = opened(mode="shadow")
    assert breaker.state == "open"
    assert breaker.mode == "shadow"
    assert breaker.acquire(0) == -1, "it would have been refused"
    breaker.record(-1, False)
    breaker.set_mode("normal")
    assert breaker.acquire(0) is None
    breaker.reset(0)
    breaker.set_mode("forced_open")
    assert breaker.acquire(0) is None
    breaker.set_mode("disabled")
    for _ in range(5):
        breaker.record(breaker.acquire(0), False)
    assert breaker.state == "closed"


def test_a_listener_that_raises_changes_nothing(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: seen.append(it.exc_value))

    def listen(*change):
        raise RuntimeError("no")

    breaker = opened(on_transition=listen)
    assert breaker.state == "open"
    assert [str(it) for it in seen] == ["no"]


def test_two_objects_of_one_name_are_one_breaker(table_name):
    changes = []
    one = BreakerState(failure_threshold=2, name=table_name)
    other = BreakerState(
        failure_threshold=2, name=table_name, on_transition=lambda *it: changes.append(it[-1])
    )
    for _ in range(2):
        one.record(one.acquire(), False)
    assert other.acquire() is None
    assert changes == [False], "told that another one opened it"
    assert one.for_key("else").acquire() is not None
    assert other.for_key("else").key == "else"
    one.close()
    other.close()


def test_two_definitions_under_one_name_are_refused(table_name):
    breaker = BreakerState(failure_threshold=2, name=table_name)
    with pytest.raises(Conflict, match="failure_threshold=3 here, 2 there"):
        BreakerState(failure_threshold=3, name=table_name)
    breaker.close()
    with pytest.raises(Closed):
        breaker.acquire()
    BreakerState(failure_threshold=3, name=table_name).close()


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"failure_threshold": 0},
        {"failure_threshold": 70_000},
        {"failure_threshold": 1, "size": 3},
        {"window": "count", "size": 2_000, "failure_rate": 0.5},
        {"window": "count", "size": 10, "failure_rate": 0.5, "min_calls": 11},
        {"window": "count", "size": 10, "failure_rate": 1.5},
        {"window": "count", "size": 10, "failure_rate": float("nan")},
        {"window": "count", "size": 10},
        {"window": "time", "size": 10, "failure_rate": 0.5},
        {"window": "time", "size": SECOND, "slow_rate": 0.5},
        {"window": "time", "size": SECOND, "failure_rate": 0.5, "slow_after": 3},
        {"window": "both", "failure_threshold": 1},
        {"failure_threshold": 1, "probes": 0},
        {"failure_threshold": 1, "probes": 17},
        {"failure_threshold": 1, "success_threshold": 0},
        {"failure_threshold": 1, "open_for": 0},
        {"failure_threshold": 1, "mode": "ajar"},
        {"failure_threshold": 1, "name": "a/b"},
        {"failure_threshold": 1, "name": ""},
    ],
)
def test_what_cannot_work_is_refused_at_once(keywords):
    with pytest.raises(Misuse):
        BreakerState(**keywords)


def test_arguments_of_a_call():
    breaker = BreakerState(failure_threshold=1)
    with pytest.raises(Misuse):
        breaker.acquire(1 << 60)
    with pytest.raises(TypeError):
        breaker.record(0, 1)
    with pytest.raises(TypeError):
        breaker.record("0", True)
    with pytest.raises(OverflowError):
        breaker.record(0, True, -1)
    with pytest.raises(OverflowError):
        breaker.record(1 << 70, True)
    breaker.record((1 << 62) - 1, False)
    assert breaker.state == "closed", "nobody's permit"


def test_threads_see_one_opening():
    changes = []
    breaker = BreakerState(
        window="count", size=100, failure_threshold=50, on_transition=lambda *it: changes.append(it)
    )
    start = threading.Barrier(4)

    def fail():
        start.wait()
        while (permit := breaker.acquire()) is not None:
            breaker.record(permit, False)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [it[:2] for it in changes if it[-1]] == [("closed", "open")]
    assert breaker.snapshot()["generation"] == 1


@pytest.mark.parametrize("now", [(), (1_500_000_000,)])
def test_a_refusal_is_made_with_the_seconds_until_a_call_may_pass(now):
    breaker = BreakerState(failure_threshold=1, open_for=60_000_000_000)
    assert breaker.refusal(lambda *given: given, "users", "eu", *now) == ("users", "eu", 0.0)
    permit = breaker.acquire(*now)
    breaker.record(permit, False, 0, *now)
    policy, key, seconds = breaker.refusal(lambda *given: given, "users", "eu", *now)
    assert (policy, key) == ("users", "eu")
    assert 55.0 < seconds <= 60.0 + 16e-9


@pytest.mark.parametrize("now", [(), (1_500_000_000,)])
def test_what_a_refusal_cannot_be_made_of_is_raised(now):
    breaker = BreakerState(failure_threshold=1)
    with pytest.raises(TypeError, match="not callable"):
        breaker.refusal(3, "users", "eu", *now)
    with pytest.raises(TypeError):
        breaker.refusal(CircuitOpen)
