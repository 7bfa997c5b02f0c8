"""Rate, budget, permits and adaptive limit: their words through Python."""

import pytest

from penstock._native import AdaptiveState, BudgetState, ConcurrencyState, RateState
from penstock.errors import Closed, Conflict, Full, Misuse

SECOND = 1_000_000_000


def test_a_rate_grants_delays_and_refuses():
    rate = RateState(limit=10, per=SECOND, burst=2)
    assert [rate.acquire(1, 0, 0) for _ in range(3)] == [0, 0, -SECOND // 10]
    assert rate.acquire(1, SECOND, 0) == SECOND // 10
    rate.give_back(1, 0)
    assert rate.acquire(1, 0, SECOND // 10) == 0
    assert rate.snapshot(SECOND)["available"] == 2
    assert rate.acquire() == 0, "by the real clock, which is ahead"


def test_a_budget_is_a_share_of_the_calls():
    budget = BudgetState(ratio=0.5, window=SECOND)
    assert not budget.withdraw(0)
    for _ in range(4):
        budget.deposit(0)
    assert [budget.withdraw(0) for _ in range(3)] == [True, True, False]
    assert budget.snapshot(0) == {
        "name": None,
        "key": "",
        "pids": [],
        "earned": 2.0,
        "spent": 2,
    }
    assert BudgetState(ratio=0.0, min_per_second=1.0, window=SECOND).withdraw()


def test_permits_are_so_many(table_name):
    permits = ConcurrencyState(limit=2, name=table_name)
    other = ConcurrencyState(limit=2, name=table_name)
    first, second = permits.acquire(), other.acquire()
    assert permits.acquire() is None
    assert other.snapshot()["out"] == 2
    assert not other.release(first), "another's"
    assert permits.release(first)
    assert not permits.release(first)
    assert other.release(second)
    permits.close()
    other.close()


def test_an_adaptive_limit_falls_when_calls_are_dropped():
    adaptive = AdaptiveState(initial=20, window=SECOND)
    assert adaptive.limit == 20
    permit = adaptive.acquire(0)
    assert adaptive.snapshot()["out"] == 1
    assert adaptive.record(permit, False, 0, SECOND)
    assert not adaptive.record(permit, False, 0, SECOND)
    assert adaptive.limit == 18


def test_a_table_has_so_many_keys(table_name):
    rate = RateState(limit=1, per=SECOND, name=table_name, key="0")
    keys = [rate.for_key(str(number)) for number in range(1, 64)]
    assert keys[0].acquire(1, 0, 0) == 0
    assert rate.for_key("1").acquire(1, 0, 0) < 0, "the same as before"
    with pytest.raises(Full, match="64 keys"):
        rate.for_key("one too many")
    with pytest.raises(Misuse):
        rate.for_key("x" * 241)
    with pytest.raises(Conflict, match="limit=2 here, 1 there"):
        RateState(limit=2, per=SECOND, name=table_name)
    rate.close()
    with pytest.raises(Closed):
        keys[0].acquire()


@pytest.mark.parametrize(
    ("state", "keywords"),
    [
        (RateState, {"limit": 0, "per": SECOND}),
        (RateState, {"limit": float("inf"), "per": SECOND}),
        (RateState, {"limit": 1, "per": 0}),
        (RateState, {"limit": 1, "per": SECOND, "burst": 0}),
        (BudgetState, {"ratio": -0.1}),
        (BudgetState, {"ratio": 0.1, "window": 1}),
        (BudgetState, {"ratio": 0.1, "min_per_second": float("nan")}),
        (ConcurrencyState, {"limit": 0}),
        (ConcurrencyState, {"limit": 1025}),
        (AdaptiveState, {"initial": 0}),
        (AdaptiveState, {"min_limit": 30, "max_limit": 20}),
        (AdaptiveState, {"tolerance": 0.5}),
    ],
)
def test_what_cannot_work_is_refused_at_once(state, keywords):
    with pytest.raises(Misuse):
        state(**keywords)
