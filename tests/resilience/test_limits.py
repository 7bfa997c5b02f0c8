"""Bulkhead, rate limit, adaptive limit and budget: who waits, who is refused, what comes back."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from penstock import AdaptiveLimit, Bulkhead, Deadline, Hedge, Policy, RateLimit, Retry, Timeout
from penstock.errors import Misuse
from penstock.resilience import (
    Budget,
    BulkheadFull,
    DeadlineExceeded,
    LimitExceeded,
    RateLimited,
)
from penstock.testing import FakeClock, capture, instant

from .calls import Call, Work, everywhere, turn_until


def waiting(policy):
    return len(policy._parts[0]._waiting)


# Bulkhead


async def test_beyond_its_places_a_bulkhead_refuses(anyio_backend):
    policy, work = Policy("bulkhead", Bulkhead(2)), Work()
    async with anyio.create_task_group() as group:
        calls = [Call("scope", partial(policy.run, work)).start(group) for _ in range(2)]
        await turn_until(lambda: work.running == 2)
        with capture("bulkhead") as events, pytest.raises(BulkheadFull):
            await policy.run(work)
        with pytest.raises(BulkheadFull, match="the bulkhead is full"):
            policy.call(int)
        work.gate.set()
        assert [await call.ended() for call in calls] == ["done"] * 2
    assert [event.kind for event in events] == ["rejected"]
    assert await policy.run(work) == "done"


async def test_those_who_wait_are_served_in_order(anyio_backend):
    policy = Policy("bulkhead", Bulkhead(1, max_waiting=3))
    order, gates = [], {number: anyio.Event() for number in range(4)}

    async def work(number):
        order.append(number)
        await gates[number].wait()

    async with anyio.create_task_group() as group:
        calls = []
        for number in range(4):
            calls.append(Call("scope", partial(policy.run, work, number)).start(group))
            await turn_until(lambda number=number: waiting(policy) == number if number else order)
        with pytest.raises(BulkheadFull):
            await policy.run(work, 9)
        for number in range(4):
            assert order == list(range(number + 1))
            gates[number].set()
            await calls[number].ended()
            await turn_until(lambda number=number: len(order) >= min(number + 2, 4))
    assert order == [0, 1, 2, 3]
    assert waiting(policy) == 0


@everywhere
async def test_a_cancelled_waiter_passes_its_place_on(how):
    policy, work = Policy("bulkhead", Bulkhead(1, max_waiting=2)), Work()
    second, third = Work(), Work()
    async with anyio.create_task_group() as group:
        first = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: work.running)
        waits = Call(how, partial(policy.run, second)).start(group)
        await turn_until(lambda: waiting(policy) == 1)
        last = Call(how, partial(policy.run, third)).start(group)
        await turn_until(lambda: waiting(policy) == 2)
        # In the tick in which it is woken.
        work.gate.set()
        await first.ended()
        waits.cancel()
        outcome = await waits.ended()
        if outcome != "cancelled":
            second.gate.set()
        third.gate.set()
        assert await last.ended() == "done"
    assert waiting(policy) == 0


@everywhere
async def test_a_cancelled_call_gives_its_place_back(how):
    policy, work = Policy("bulkhead", Bulkhead(1)), Work()
    async with anyio.create_task_group() as group:
        for number in range(3):
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda number=number: work.started == number + 1)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert policy.call(int) == 0


async def test_a_wait_has_an_end(anyio_backend):
    policy, work = Policy("bulkhead", Bulkhead(1, max_waiting=5, max_wait=3.0)), Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            first = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running)
            late = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: waiting(policy) and clock.pending)
            clock.advance(3.0)
            assert isinstance(await late.ended(), BulkheadFull)
            work.gate.set()
            assert await first.ended() == "done"


async def test_a_wait_ends_with_the_deadline(anyio_backend):
    policy, work = Policy("bulkhead", Deadline(3.0), Bulkhead(1, max_waiting=5)), Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            first = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running)
            clock.advance(1.0)
            late = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: len(policy._parts[1]._waiting))
            clock.advance(2.0)
            assert isinstance(await first.ended(), DeadlineExceeded)
            await turn_until(lambda: work.started == 2)
            clock.advance(1.0)
            assert isinstance(await late.ended(), DeadlineExceeded)
    assert policy.call(int) == 0


def test_threads_wait_for_places():
    policy, gate = Policy("bulkhead", Bulkhead(2, max_waiting=8)), threading.Event()
    now, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait()
        with lock:
            now -= 1

    threads = [threading.Thread(target=policy.call, args=(work,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    while waiting(policy) < 8:
        threading.Event().wait(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert (now, most) == (0, 2)
    assert waiting(policy) == 0


async def test_a_stream_holds_its_place_to_the_end(anyio_backend):
    policy = Policy("bulkhead", Bulkhead(1))

    @policy
    async def numbers():
        yield 1
        yield 2

    stream = numbers()
    assert await anext(stream) == 1
    with pytest.raises(BulkheadFull):
        policy.call(int)
    assert [number async for number in stream] == [2]
    assert policy.call(int) == 0
    stream = numbers()
    await anext(stream)
    await stream.aclose()
    assert policy.call(int) == 0


async def test_a_block_holds_its_place(anyio_backend):
    policy = Policy("bulkhead", Bulkhead(1))
    async for attempt in policy.attempts():
        async with attempt:
            with pytest.raises(BulkheadFull):
                policy.call(int)
    assert policy.call(int) == 0


# RateLimit


async def test_beyond_the_rate_calls_are_refused(anyio_backend):
    async def one():
        return 1

    policy = Policy("rate", RateLimit(2, per=1.0))
    with FakeClock() as clock:
        assert await policy.run(one) == 1
        assert policy.call(int) == 0
        with pytest.raises(RateLimited) as refused:
            policy.call(int)
        assert refused.value.retry_after == pytest.approx(0.5)
        clock.advance(0.5)
        assert await policy.run(one) == 1
        with pytest.raises(RateLimited):
            await policy.run(one)


async def test_or_they_wait(anyio_backend):
    async def one():
        return 1

    policy = Policy("rate", RateLimit(1, per=2.0, max_wait=5.0))
    with instant() as clock:
        for _ in range(3):
            await policy.run(one)
        policy.call(int)
    assert clock.sleeps == pytest.approx([2.0, 2.0, 2.0])


def test_no_wait_is_begun_that_ends_after_the_deadline():
    policy = Policy("rate", Deadline(3.0), RateLimit(1, per=4.0, max_wait=9.0))
    with instant() as clock:
        policy.call(int)
        with pytest.raises(RateLimited):
            policy.call(int)
        clock.advance(1.5)
        policy.call(int)
    assert clock.sleeps == pytest.approx([2.5])


@everywhere
async def test_a_cancelled_wait_gives_its_turn_back(how):
    policy, work = Policy("rate", RateLimit(1, per=4.0, max_wait=5.0)), Work()
    work.gate.set()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            assert await policy.run(work) == "done"
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: clock.sleeping)
            call.cancel()
            assert await call.ended() == "cancelled"
            late = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: clock.sleeping)
            assert clock.sleeps == pytest.approx([4.0, 4.0])
            clock.advance(4.0)
            assert await late.ended() == "done"


# AdaptiveLimit


async def test_beyond_the_adaptive_limit_calls_are_refused(anyio_backend):
    policy, work = Policy("adaptive", AdaptiveLimit(initial=2, max_limit=2)), Work()
    async with anyio.create_task_group() as group:
        calls = [Call("scope", partial(policy.run, work)).start(group) for _ in range(2)]
        await turn_until(lambda: work.running == 2)
        with pytest.raises(LimitExceeded):
            await policy.run(work)
        work.gate.set()
        assert [await call.ended() for call in calls] == ["done"] * 2
    assert policy.call(int) == 0


@everywhere
async def test_a_cancelled_call_leaves_the_adaptive_limit_alone(how):
    policy, work = Policy("adaptive", AdaptiveLimit(initial=1, max_limit=1)), Work()
    async with anyio.create_task_group() as group:
        for number in range(3):
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda number=number: work.started == number + 1)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert policy.call(int) == 0


def test_timeouts_lower_it():
    policy = Policy("adaptive", AdaptiveLimit(initial=20, max_limit=20))

    def dropped():
        raise TimeoutError

    def other():
        raise OSError

    with pytest.raises(OSError):
        policy.call(other)
    assert policy._parts[0].state.limit == 20
    with pytest.raises(TimeoutError):
        policy.call(dropped)
    assert policy._parts[0].state.limit < 20


def test_a_users_function_that_raises_gives_the_place_back():
    def broken(error):
        raise ZeroDivisionError

    policy = Policy("adaptive", AdaptiveLimit(initial=1, max_limit=1, on=broken))

    def fail():
        raise OSError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            policy.call(fail)
    assert policy.call(int) == 0


# Budget


def test_a_budget_bounds_what_retries_add():
    policy = Policy(
        "budget", Retry(attempts=3, delay=0.0, budget=Budget(0.2, min_per_second=0.0, window=10.0))
    )
    calls = []

    def fail():
        calls.append(1)
        raise OSError

    with FakeClock(), capture("budget") as events:
        for _ in range(100):
            with pytest.raises(OSError) as raised:
                policy.call(fail)
    assert 110 <= len(calls) <= 120
    assert "budget_exhausted" in {event.kind for event in events}
    assert "the retry budget is used up" in raised.value.__notes__[-1]


async def test_a_budget_bounds_hedges(anyio_backend):
    policy = Policy("budget", Hedge(1.0, budget=Budget(0.0, min_per_second=0.0)))
    work = Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock, capture("budget") as events:
            call = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running and clock.pending)
            clock.advance(1.0)
            await turn_until(lambda: events)
            work.gate.set()
            assert await call.ended() == "done"
    assert work.started == 1
    assert [event.kind for event in events] == ["budget_exhausted"]


async def test_the_whole_of_it(anyio_backend):
    policy = Policy(
        "whole",
        Deadline(10.0),
        AdaptiveLimit(),
        Bulkhead(4),
        Retry(delay=0.0),
        RateLimit(99),
        Timeout(5.0),
    )

    @policy
    async def add(a, *, b):
        return a + b

    for number in range(5):
        assert await add(number, b=1) == number + 1


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (partial(Bulkhead, 0), "max_concurrent"),
        (partial(Bulkhead, 2.0), "max_concurrent"),
        (partial(Bulkhead, 2, max_waiting=-1), "max_waiting"),
        (partial(Bulkhead, 2, max_wait=-1.0), "max_wait"),
        (partial(Bulkhead, 2, scope="host"), "scope"),
        (partial(RateLimit, 0), "limit"),
        (partial(RateLimit, 1, per=0.0), "per"),
        (partial(RateLimit, 1, burst=2), "burst=2 is more than limit=1"),
        (partial(RateLimit, 1, max_wait="1"), "max_wait"),
        (partial(AdaptiveLimit, initial=300), "is not between"),
        (partial(AdaptiveLimit, min_limit=0), "min_limit"),
        (partial(AdaptiveLimit, tolerance=0.5), "tolerance"),
        (partial(Budget, -0.1), "ratio"),
        (partial(Budget, window=0.0), "window"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(Misuse, match=match):
        make()
