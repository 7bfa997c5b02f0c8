"""The seven rules of cancellation, each on every loop and by every kind of cancel.

They are: (1) never retried, counted or answered; (2) permits come back on every exit; (3) a
timeout turns only its own cancel into an error; (4) losers of a hedge are awaited; (5) a shared
load outlives its first caller; (6) a pause ends at once, and none begins that cannot end in time;
(7) a blocking attempt that outlives its time is counted, and capped.
"""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

from penstock import Cache, Deadline, Fallback, Hedge, Policy, Retry, Timeout
from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout, DeadlineExceeded, TooManyAbandoned
from penstock.testing import FakeClock, capture

from .calls import Call, Work, everywhere, turn_until


def anything(_error: BaseException) -> bool:
    return True


# 1


@everywhere
async def test_rule_1_a_cancelled_call_is_not_retried_nor_answered(how):
    policy = Policy("one", Fallback(value="?", on=anything), Retry(delay=0.0, on=anything))
    work = Work()
    async with anyio.create_task_group() as group:
        with capture() as events:
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert work.started == work.cancelled == 1
    assert events == []


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_rule_1_interruptions_pass_a_thread_at_once(signal):
    policy = Policy("one", Fallback(value="?", on=anything), Retry(delay=0.0, on=anything))
    calls = []

    def interrupted():
        calls.append(None)
        raise signal

    with capture() as events, pytest.raises(signal):
        policy.call(interrupted)
    assert len(calls) == 1
    assert events == []


@pytest.mark.parametrize("strategy", [Retry, partial(Fallback, value=0)])
@pytest.mark.parametrize("kind", [BaseException, KeyboardInterrupt, (ValueError, SystemExit)])
def test_rule_1_no_strategy_can_be_told_to_take_one(strategy, kind):
    with pytest.raises(Misuse, match="which is no failure"):
        strategy(on=kind)


# 3


@everywhere
async def test_rule_3_the_timeout_is_an_error_and_leaves_no_mark_on_the_task(how):
    policy = Policy("three", Timeout(2.0))
    work = Work()

    async def twice():
        with pytest.raises(AttemptTimeout):
            await policy.run(work)
        # A request to end that was not taken back would end this.
        await anyio.lowlevel.checkpoint()
        work.gate.set()
        return await policy.run(work)

    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, twice).start(group)
            await turn_until(lambda: work.running)
            clock.advance(2.0)
            assert await call.ended() == "done"
    assert (work.started, work.cancelled) == (2, 1)


@everywhere
@pytest.mark.parametrize("order", ["timer first", "cancel first"])
@pytest.mark.parametrize("strategy", [Timeout, Deadline])
async def test_rule_3_a_cancel_from_outside_in_the_same_tick_wins(how, order, strategy):
    policy = Policy("three", strategy(2.0))
    work = Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running)
            if order == "timer first":
                clock.advance(2.0)
                call.cancel()
            else:
                call.cancel()
                clock.advance(2.0)
            assert await call.ended() == "cancelled"
    assert work.cancelled == 1


@everywhere
async def test_rule_3_nested_deadlines_that_end_together_are_one_error(how):
    work = Work()
    inner = Policy("inner", Deadline(3.0), Retry(delay=0.0), Timeout(2.0))
    outer = Policy("outer", Deadline(2.0))
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(outer.run, inner.run, work)).start(group)
            await turn_until(lambda: work.running)
            clock.advance(2.0)
            assert isinstance(await call.ended(), DeadlineExceeded)
    assert work.started == 1


@everywhere
async def test_rule_3_the_same_policy_within_itself(how):
    policy = Policy("again", Timeout(2.0))
    work = Work()
    errors = []

    async def inner():
        try:
            return await policy.run(work)
        except AttemptTimeout as error:
            errors.append(error)
            raise

    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(policy.run, inner)).start(group)
            await turn_until(lambda: work.running)
            clock.advance(2.0)
            assert isinstance(await call.ended(), AttemptTimeout)
    assert work.cancelled == 1
    assert len(errors) <= 1


# 4


@everywhere
async def test_rule_4_a_cancelled_hedge_leaves_no_attempt_behind(how):
    policy = Policy("four", Hedge(1.0))
    work = Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: work.running == 1)
            clock.advance(1.0)
            await turn_until(lambda: work.running == 2)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert (work.started, work.cancelled, work.running) == (2, 2, 0)


async def test_rule_4_losers_have_ended_when_the_winner_returns(anyio_backend):
    policy = Policy("four", Hedge(1.0))
    ended = []
    first = anyio.Event()

    async def work():
        number = len(started)
        started.append(number)
        if number == 1:
            return number
        try:
            await first.wait()
        finally:
            with anyio.CancelScope(shield=True):
                # It takes some turns to put things away.
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
            ended.append(number)

    started: list[int] = []
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call("scope", partial(policy.run, work)).start(group)
            await turn_until(lambda: started)
            await turn_until(lambda: clock.pending)
            clock.advance(1.0)
            assert await call.ended() == 1
    assert ended == [0]


# 5


@everywhere
async def test_rule_5_the_load_goes_on_without_its_first_caller(how):
    policy = Policy("five", Cache(60.0))
    work = Work()
    async with anyio.create_task_group() as group:
        leader = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: work.running)
        follower = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: boarded(policy) == 2)
        leader.cancel()
        assert await leader.ended() == "cancelled"
        work.gate.set()
        assert await follower.ended() == "done"
    assert (work.started, work.cancelled) == (1, 0)


@everywhere
async def test_rule_5_the_last_to_go_ends_the_load_and_the_next_begins_another(how):
    policy = Policy("five", Cache(60.0))
    work = Work()
    async with anyio.create_task_group() as group:
        calls = [Call(how, partial(policy.run, work)).start(group) for _ in range(3)]
        await turn_until(lambda: work.running)
        await turn_until(lambda: boarded(policy) == 3)
        for call in calls:
            assert work.cancelled == 0
            call.cancel()
            assert await call.ended() == "cancelled"
        # In the same turn: it finds the load that is ending, and must not end with it.
        late = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: work.started == 2)
        assert work.cancelled == 1
        work.gate.set()
        assert await late.ended() == "done"


def boarded(policy: Policy) -> int:
    (flight,) = policy._parts[0]._flights.values()
    return flight._aboard


# 6


@everywhere
async def test_rule_6_a_cancel_ends_the_pause_at_once(how):
    policy = Policy("six", Retry(delay=3600.0))
    work = Work()
    work.errors = [ConnectionError()]
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: clock.sleeping)
            call.cancel()
            assert await call.ended() == "cancelled"
            assert clock.sleeping == 0
    assert work.started == 1


@everywhere
async def test_rule_6_no_pause_is_begun_that_ends_after_the_deadline(how):
    policy = Policy("six", Deadline(10.0), Retry(attempts=9, delay=4.0, jitter=0.0))
    work = Work()
    work.errors = [ConnectionError(str(number)) for number in range(9)]
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, partial(policy.run, work)).start(group)
            await turn_until(lambda: clock.sleeping)
            clock.advance(4.0)
            error = await call.ended()
            assert clock.sleeps == [4.0]
    assert isinstance(error, ConnectionError)
    assert str(error) == "1"
    assert "the deadline comes before the end of a pause of 8 s" in error.__notes__[-1]


def test_rule_6_in_a_thread():
    policy = Policy("six", Deadline(10.0), Retry(attempts=9, delay=4.0, jitter=0.0))
    with FakeClock() as clock:

        def work():
            clock.advance(7.0)
            raise ConnectionError

        with pytest.raises(ConnectionError):
            policy.call(work)
        assert clock.sleeps == []


# 7


def test_rule_7_a_blocking_attempt_is_left_behind_and_counted():
    policy = Policy("seven", Timeout(5.0, max_abandoned=2))
    gate, threads = threading.Event(), []

    def hang():
        threads.append(threading.current_thread())
        clock.advance(5.0)
        gate.wait()

    with FakeClock() as clock, capture("seven") as events:
        for _ in range(2):
            with pytest.raises(AttemptTimeout):
                policy.call(hang)
        (part,) = policy._parts
        assert part.abandoned == 2
        with pytest.raises(TooManyAbandoned):
            policy.call(hang)
        assert len(threads) == 2
        gate.set()
        # They end, and there is room again.
        while part.abandoned:
            threading.Event().wait(0.001)
        assert policy.call(lambda: 7) == 7
    kinds = [event.kind for event in events]
    assert kinds == ["abandoned", "timed_out", "abandoned", "timed_out", "rejected"]


def test_rule_7_what_a_blocking_attempt_returns_and_raises_comes_back():
    policy = Policy("seven", Timeout(3600.0))
    assert policy.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        policy.call(lambda: 1 / 0)
