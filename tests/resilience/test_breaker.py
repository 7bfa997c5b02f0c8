"""The circuit in a policy: when it opens, whom it lets through, what counts."""

from __future__ import annotations

import os
import uuid
from functools import partial

import anyio
import pytest

from penstock import CircuitBreaker, Policy, Retry, Timeout
from penstock.errors import Conflict, Misuse, PenstockError
from penstock.resilience import AttemptTimeout, CircuitOpen
from penstock.testing import FakeClock, capture

from .calls import Call, Work, everywhere, turn_until


def fail(error=None):
    raise error or OSError


async def fail_async(error=None):
    fail(error)


def fails(policy, times, error=OSError):
    for _ in range(times):
        with pytest.raises(error):
            policy.call(fail, error())


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


async def test_it_opens_after_failures_in_a_row_and_refuses(anyio_backend, clock):
    policy = Policy("breaker", CircuitBreaker(3, open_for=60.0))
    fails(policy, 2)
    assert policy.call(int) == 0  # which breaks the row
    fails(policy, 2)
    assert policy.circuit.state == "closed"
    with pytest.raises(OSError):
        await policy.run(fail_async)
    assert policy.circuit.state == "open"
    clock.advance(20.0)
    with pytest.raises(CircuitOpen) as refused:
        policy.call(int)
    with pytest.raises(CircuitOpen):
        await policy.run(fail_async)
    assert refused.value.retry_after == pytest.approx(40.0)
    assert str(refused.value) == "policy 'breaker': the circuit is open; may pass in 40 s"
    assert refused.value.policy == "breaker"


def test_probes_close_it(clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0, success_threshold=2))
    with capture("breaker") as events:
        fails(policy, 1)
        clock.advance(60.0)
        assert policy.call(int) == 0
        assert policy.circuit.state == "half_open"
        assert policy.call(int) == 0
        assert policy.circuit.state == "closed"
    assert [event.kind for event in events] == ["opened", "half_opened", "closed"]


def test_a_failed_probe_opens_it_again(clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0))
    fails(policy, 1)
    clock.advance(60.0)
    fails(policy, 1)
    with pytest.raises(CircuitOpen):
        policy.call(int)


async def test_no_more_than_the_set_number_of_probes(anyio_backend, clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0, probes=2, success_threshold=2))
    fails(policy, 1)
    clock.advance(60.0)
    work = Work()
    async with anyio.create_task_group() as group:
        calls = [Call("scope", partial(policy.run, work)).start(group) for _ in range(100)]
        await turn_until(lambda: sum(call.is_over for call in calls) == 98)
        assert work.running == 2
        work.gate.set()
        outcomes = [await call.ended() for call in calls]
    assert outcomes.count("done") == 2
    assert sum(isinstance(outcome, CircuitOpen) for outcome in outcomes) == 98
    assert policy.circuit.state == "closed"


# Rule 1 and 2 of cancellation


@everywhere
async def test_cancelled_calls_count_as_nothing(how, clock):
    policy = Policy("breaker", CircuitBreaker(1))
    work = Work()
    async with anyio.create_task_group() as group:
        for number in range(3):
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda number=number: work.started == number + 1)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert policy.circuit.state == "closed"


@everywhere
async def test_a_cancelled_probe_gives_its_place_back(how, clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0))
    fails(policy, 1)
    clock.advance(60.0)
    work = Work()
    async with anyio.create_task_group() as group:
        call = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: work.running)
        call.cancel()
        assert await call.ended() == "cancelled"
    assert policy.call(int) == 0
    assert policy.circuit.state == "closed"


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupted_probe_gives_its_place_back(signal, clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0))
    fails(policy, 1)
    clock.advance(60.0)
    with pytest.raises(signal):
        policy.call(fail, signal())
    assert policy.call(int) == 0
    assert policy.circuit.state == "closed"


def broken(_told):
    raise ZeroDivisionError


def test_a_users_function_that_raises_gives_the_place_back(clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0, on=OSError, on_result=broken))
    fails(policy, 1)
    clock.advance(60.0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            policy.call(int)
    assert policy.circuit.state == "half_open"
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0, on=broken))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            policy.call(fail)
    assert policy.circuit.state == "closed"


async def test_timeouts_count(anyio_backend, clock):
    policy = Policy("breaker", CircuitBreaker(1), Timeout(2.0))
    work = Work()
    async with anyio.create_task_group() as group:
        call = Call("scope", partial(policy.run, work)).start(group)
        await turn_until(lambda: work.running)
        clock.advance(2.0)
        assert isinstance(await call.ended(), AttemptTimeout)
    assert policy.circuit.state == "open"


def test_what_is_no_failure_is_a_success(clock):
    policy = Policy("breaker", CircuitBreaker(2, on=OSError))
    fails(policy, 1)
    fails(policy, 1, KeyError)
    fails(policy, 1)
    assert policy.circuit.state == "closed"


def test_refusals_of_others_count_as_nothing(clock):
    policy = Policy("breaker", CircuitBreaker(2))
    fails(policy, 1)
    fails(policy, 1, CircuitOpen)
    fails(policy, 1)
    assert policy.circuit.state == "open"


def test_results_may_count_as_failures(clock):
    policy = Policy("breaker", CircuitBreaker(2, on_result=lambda value: value == 503))
    assert policy.call(int, 503) == 503
    assert policy.call(int, 503) == 503
    assert policy.circuit.state == "open"


def test_a_window_by_rate_and_by_slowness(clock):
    policy = Policy(
        "breaker",
        CircuitBreaker(
            None,
            window="count",
            size=10,
            failure_rate=0.5,
            slow_rate=0.5,
            slow_after=1.0,
            min_calls=4,
        ),
    )
    for _ in range(2):
        policy.call(lambda: clock.advance(1.0))
    policy.call(int)
    assert policy.circuit.state == "closed"
    policy.call(lambda: clock.advance(0.5))
    assert policy.circuit.state == "open", "two of four were slow"


def test_shadow_refuses_nothing_and_says_what_it_would(clock):
    policy = Policy("breaker", CircuitBreaker(1, open_for=60.0, mode="shadow"))
    with capture("breaker") as events:
        fails(policy, 1)
        assert policy.call(int) == 0
    assert [event.kind for event in events] == ["opened", "would_reject"]


def test_the_hand_on_the_switch(clock):
    policy = Policy("breaker", CircuitBreaker(1))
    policy.circuit.mode = "forced_open"
    with pytest.raises(CircuitOpen):
        policy.call(int)
    policy.circuit.mode = "disabled"
    fails(policy, 3)
    assert policy.call(int) == 0
    policy.circuit.mode = "normal"
    fails(policy, 1)
    assert policy.circuit.state == "open"
    policy.circuit.reset()
    assert policy.circuit.state == "closed"
    assert policy.call(int) == 0
    with pytest.raises(Misuse, match="is unknown"):
        policy.circuit.mode = "ajar"
    with pytest.raises(Misuse, match="has no CircuitBreaker"):
        _ = Policy("none").circuit


def test_a_retry_outside_does_not_wear_an_open_circuit_out(clock):
    policy = Policy("breaker", Retry(attempts=9, delay=0.0), CircuitBreaker(2))
    calls = []

    def count():
        calls.append(1)
        raise OSError

    with pytest.raises(CircuitOpen):
        policy.call(count)
    assert len(calls) == 2


def test_keys_have_circuits_of_their_own(clock):
    keyed = Policy("breaker", CircuitBreaker(1)).keyed(lambda host: host)
    with pytest.raises(OSError):
        keyed.call(lambda host: fail(), "a")
    with pytest.raises(CircuitOpen, match="policy 'breaker' for 'a'"):
        keyed.call(str, "a")
    assert keyed.call(str, "b") == "b"


@pytest.fixture
def name():
    return f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def test_policies_of_one_name_share_the_machines_circuit(name):
    first = Policy(name, CircuitBreaker(1, scope="machine"))
    second = Policy(name, CircuitBreaker(1, scope="machine"))
    fails(first, 1)
    with pytest.raises(CircuitOpen):
        second.call(int)


def test_what_another_did_to_a_shared_circuit_is_told_as_anothers(name):
    first = Policy(name, CircuitBreaker(1, scope="machine"))
    second = Policy(name, CircuitBreaker(1, scope="machine"))
    assert second.call(int) == 0
    with capture(name) as events:
        fails(first, 1)
        with pytest.raises(CircuitOpen):
            second.call(int)
    assert [event.kind for event in events] == ["opened", "opened_elsewhere", "rejected"]


def test_one_name_has_one_definition(name):
    kept = Policy(name, CircuitBreaker(1, scope="machine"))
    with pytest.raises(Conflict) as refused:
        Policy(name, CircuitBreaker(2, scope="machine"))
    assert name in str(refused.value)
    assert isinstance(refused.value, PenstockError)
    assert kept.call(int) == 0


@pytest.mark.parametrize("wrong", ["with space", "a/b", "x" * 65, "ü"])
def test_a_shared_name_is_one_that_others_can_ask_for(wrong):
    with pytest.raises(Misuse, match="needs a name that other processes can ask for"):
        Policy(wrong, CircuitBreaker(scope="machine"))
    Policy(wrong, CircuitBreaker())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"failure_threshold": 0}, "failure_threshold=0 is out of range"),
        ({"failure_threshold": True}, "is not a whole number"),
        ({"failure_threshold": None}, "it never opens"),
        ({"success_threshold": 0}, "success_threshold"),
        ({"open_for": 0.0}, "open_for"),
        ({"open_for": float("inf")}, "open_for"),
        ({"failure_rate": 0.5}, "failures in a row have none"),
        ({"window": "count"}, "size"),
        ({"window": "count", "size": 2.5}, "size"),
        ({"window": "count", "size": 4, "failure_threshold": 5}, "more than the window of 4"),
        ({"window": "count", "size": 10, "min_calls": 11}, "more than the window of 10"),
        ({"window": "count", "size": 10, "failure_threshold": None}, "it never opens"),
        ({"window": "time", "size": 0}, "size"),
        ({"window": "time", "size": 9, "failure_rate": 1.5}, "failure_rate"),
        ({"window": "time", "size": 9, "failure_rate": 0.0}, "failure_rate"),
        ({"window": "time", "size": 9, "slow_rate": 0.5}, "need both"),
        ({"window": "time", "size": 9, "slow_after": 0.5}, "need both"),
        ({"window": "sliding", "size": 9}, "is unknown"),
        ({"mode": "open"}, "is unknown"),
        ({"probes": 0}, "probes"),
        ({"probe_failures": -1}, "probe_failures"),
        ({"on": BaseException}, "is no failure"),
        ({"on_result": 503}, "is not a function"),
        ({"scope": "host"}, "scope='host' is unknown"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(Misuse, match=match):
        CircuitBreaker(**arguments)
