"""What native states have for several machines: followed circuits, shares, who speaks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock._native import BreakerState, BudgetState, RateState

SECOND = 1_000_000_000
OVER = "localhost:6379/0"


@pytest.fixture
def breaker(table_name):
    breaker = BreakerState(
        failure_threshold=1, open_for=60 * SECOND, name=table_name, exchange=OVER
    )
    yield breaker
    breaker.close()


def test_a_circuit_that_follows_opens_for_as_long_as_it_is_told(breaker):
    assert breaker.follow_open(0, 5 * SECOND, SECOND)
    assert breaker.state == "open"
    assert breaker.retry_after(SECOND) == 5 * SECOND
    assert breaker.snapshot()["is_followed"]
    assert not breaker.follow_open(0, 5 * SECOND, SECOND), "of a generation that is over"
    assert breaker.follow_open(1, 9 * SECOND, SECOND), "an open one begins anew"
    assert breaker.retry_after(SECOND) == 9 * SECOND
    assert not breaker.follow_closed(1, SECOND)
    assert breaker.follow_closed(2, SECOND)
    assert breaker.state == "closed"


def test_what_opened_by_itself_does_not_close_for_others(breaker):
    breaker.record(breaker.acquire(SECOND), False, 0, SECOND)
    assert breaker.state == "open"
    assert not breaker.snapshot()["is_followed"]
    assert not breaker.follow_closed(1, SECOND)
    assert breaker.probe(61 * SECOND) is not None
    assert breaker.state == "half_open"
    assert not breaker.follow_open(2, SECOND, 61 * SECOND), "a probe decides"


def test_probes_are_given_by_probe_alone(breaker):
    breaker.record(breaker.acquire(SECOND), False, 0, SECOND)
    assert breaker.acquire(90 * SECOND) is None
    assert breaker.state == "open"
    permit = breaker.probe(90 * SECOND)
    assert breaker.acquire(90 * SECOND) is None
    breaker.record(permit, True, 0, 90 * SECOND)
    assert breaker.state == "closed"
    assert breaker.acquire() is not None


def test_in_shadow_nothing_is_refused(table_name):
    breaker = BreakerState(failure_threshold=1, mode="shadow", name=table_name, exchange=OVER)
    breaker.record(breaker.acquire(), False)
    assert breaker.state == "open"
    assert breaker.acquire() == -1


def test_a_success_gets_its_date_from_the_next_look(breaker):
    def age(now):
        return breaker.snapshot(now)["success_age"]

    assert age(SECOND) is None
    breaker.record(breaker.acquire(), True)
    assert age(SECOND) == 0
    assert age(9 * SECOND) == 0, "since the last look"
    breaker.look_for_success(9 * SECOND)
    breaker.look_for_success(10 * SECOND)
    assert age(11 * SECOND) == 2 * SECOND
    breaker.record(breaker.acquire(), True, 0, 11 * SECOND)
    assert age(11 * SECOND) == 0


def test_a_rate_is_divided(table_name):
    rate = RateState(limit=10, per=SECOND, burst=10, name=table_name, exchange=OVER)
    assert rate.share == pytest.approx(0.1)
    assert [rate.acquire(1, 0, SECOND) for _ in range(2)] == [0, -SECOND]
    rate.set_share(0.5, SECOND)
    assert rate.share == pytest.approx(0.5)
    assert rate.acquire(1, 0, SECOND) < 0, "what it brings comes with time"
    assert [rate.acquire(1, 0, 2 * SECOND) for _ in range(6)] == [0] * 5 + [-SECOND // 5]
    assert rate.asked == 9
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            rate.set_share(wrong)


def test_a_budget_divides_its_floor(table_name):
    budget = BudgetState(
        ratio=1.0, min_per_second=10.0, window=SECOND, name=table_name, exchange=OVER
    )
    assert [budget.withdraw(SECOND) for _ in range(2)] == [True, False]
    budget.set_share(0.3)
    budget.deposit(SECOND)
    assert [budget.withdraw(SECOND) for _ in range(4)] == [True] * 3 + [False], "and what is earned"
    assert (budget.asked, budget.share) == (6, 0.3)


def test_one_process_speaks_for_the_machine_and_all_know_its_name(table_name):
    rate = RateState(limit=10, per=SECOND, name=table_name, exchange=OVER)
    assert rate.is_courier()
    assert rate.is_courier()
    program = (
        "import sys; from penstock._native import RateState\n"
        f"rate = RateState(limit=10, per={SECOND}, name=sys.argv[1], exchange={OVER!r})\n"
        "print(rate.is_courier(), rate.machine)"
    )
    command = [sys.executable, "-c", program, table_name]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False", str(rate.machine)]
    other = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PENSTOCK_MACHINE": "other"},
    ).stdout
    speaks, machine = other.split()
    assert speaks == "True", "on another machine"
    assert int(machine) != rate.machine
    assert not [it for it in os.listdir("/dev/shm") if "~other" in it]


def test_a_machine_has_a_plain_name(table_name):
    program = "import sys; from penstock._native import RateState as R; R(limit=1, per=9, name='x')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PENSTOCK_MACHINE": "a/b"},
        check=False,
    )
    assert "Misuse" in ended.stderr
    assert "a/b" in ended.stderr


def test_a_state_of_one_machine_has_another_definition(table_name):
    alone = RateState(limit=10, per=SECOND, name=table_name)
    with pytest.raises(Exception, match="exchange=localhost:6379/0 here, nothing there"):
        RateState(limit=10, per=SECOND, name=table_name, exchange=OVER)
    assert alone.acquire() == 0
