"""More keys than a machine's table has room for: they are counted by each process for itself."""

from __future__ import annotations

import pytest

from penstock import AdaptiveLimit, Bulkhead, CircuitBreaker, Policy, RateLimit, Retry
from penstock.resilience import Budget, CircuitOpen, subscribe
from penstock.testing import capture

ROOM = 64  # and one of them is the policy's own, without a key


def fail(_key):
    raise ConnectionError


@pytest.mark.parametrize(
    "strategy",
    [
        CircuitBreaker(1, scope="machine"),
        RateLimit(1000, scope="machine"),
        Bulkhead(8, scope="machine"),
        AdaptiveLimit(scope="machine"),
        Retry(budget=Budget(scope="machine")),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_no_call_is_refused_for_want_of_a_place(strategy, table_name):
    keyed = Policy(table_name, strategy).keyed(lambda key: key)
    keys = [f"host-{number}" for number in range(ROOM + 3)]
    with capture(table_name) as events:
        assert [keyed.call(str, key) for key in keys] == keys
        assert [keyed.call(str, key) for key in keys] == keys
    assert [(event.key, event.kind) for event in events] == [
        (key, "not_shared") for key in keys[ROOM - 1 :]
    ]
    assert {event.strategy for event in events} == {type(strategy).__name__}


def test_the_first_are_shared_and_the_others_are_not(table_name):
    one, other = (
        Policy(table_name, CircuitBreaker(1, scope="machine")).keyed(lambda key: key)
        for _ in range(2)
    )
    last = f"host-{ROOM}"
    for number in range(ROOM + 1):
        with pytest.raises(ConnectionError):
            one.call(fail, f"host-{number}")
    with pytest.raises(CircuitOpen):
        one.call(fail, last)
    with pytest.raises(CircuitOpen):
        other.call(fail, "host-0")
    with pytest.raises(ConnectionError):
        other.call(fail, last)


def test_a_listener_may_use_the_policy_that_it_hears_of(table_name):
    keyed = Policy(table_name, CircuitBreaker(1, scope="machine")).keyed(lambda key: key)
    heard = []

    def listen(event):
        if event.policy == table_name and event.kind == "not_shared" and not heard:
            heard.append(event.key)
            assert keyed.call(str, "host-0") == "host-0"

    off = subscribe(listen)
    try:
        for number in range(ROOM + 1):
            keyed.call(str, f"host-{number}")
    finally:
        off()
    assert heard == [f"host-{ROOM - 1}"]
