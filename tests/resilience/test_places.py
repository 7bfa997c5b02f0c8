"""Places of bulkheads and limits come back, and go to who is next, whatever holders do."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

from penstock import AdaptiveLimit, Bulkhead, Deadline, Policy
from penstock.resilience import BulkheadFull, LimitExceeded
from penstock.testing import FakeClock

from .calls import Call, Work, everywhere, turn_until

REFUSED = (BulkheadFull, LimitExceeded)
one_place = pytest.mark.parametrize(
    "strategy", [Bulkhead(1), AdaptiveLimit(initial=1, min_limit=1, max_limit=1)], ids=repr
)


async def nothing():
    return "free"


@everywhere
@one_place
async def test_a_stream_cancelled_before_its_first_item_gives_its_place_back(how, strategy):
    policy = Policy("places", strategy)
    work = Work()

    @policy
    async def items():
        await work()
        yield 1

    async def read():
        return [item async for item in items()]

    async with anyio.create_task_group() as group:
        call = Call(how, read).start(group)
        await turn_until(lambda: work.running)
        with pytest.raises(REFUSED):
            await policy.run(nothing)
        call.cancel()
        assert await call.ended() == "cancelled"
    assert await policy.run(nothing) == "free"


@everywhere
@one_place
async def test_a_stream_holds_its_place_between_items_and_not_beyond_a_cancel(how, strategy):
    policy = Policy("places", strategy)
    work = Work()
    seen = []

    @policy
    async def items():
        yield 1
        await work()
        yield 2

    async def read():
        async for item in items():
            seen.append(item)  # noqa: PERF401 - one by one

    async with anyio.create_task_group() as group:
        call = Call(how, read).start(group)
        await turn_until(lambda: seen and work.running)
        with pytest.raises(REFUSED):
            await policy.run(nothing)
        call.cancel()
        assert await call.ended() == "cancelled"
    assert await policy.run(nothing) == "free"


@everywhere
async def test_who_leaves_the_queue_in_the_turn_of_being_woken_wakes_the_next(how):
    policy = Policy("places", Bulkhead(1, max_waiting=8))
    (part,) = policy._parts
    wake_next = part.wake_next
    cancels = []

    def wake_and_cancel():
        wake_next()
        while cancels:
            cancels.pop()()

    part.wake_next = wake_and_cancel
    holder, leaving, next_one = Work(), Work(), Work()
    async with anyio.create_task_group() as group:
        first = Call(how, partial(policy.run, holder)).start(group)
        await turn_until(lambda: holder.running)
        second = Call(how, partial(policy.run, leaving)).start(group)
        await turn_until(lambda: len(part._waiting) == 1)
        third = Call(how, partial(policy.run, next_one)).start(group)
        await turn_until(lambda: len(part._waiting) == 2)
        # As the holder goes, in that very turn: the wake is on its way to one who cannot take it.
        cancels.append(second.cancel)
        holder.gate.set()
        assert await first.ended() == "done"
        await turn_until(lambda: next_one.running)
        next_one.gate.set()
        assert await third.ended() == "done"
        assert await second.ended() == "cancelled"
    assert leaving.running == 0


async def test_a_newcomer_does_not_overtake_who_waits(anyio_backend):
    policy = Policy("places", Bulkhead(1, max_waiting=8))
    (part,) = policy._parts
    gate, order = anyio.Event(), []

    async def work(name):
        order.append(name)
        if name == "first":
            await gate.wait()

    async def first_and_again():
        await policy.run(work, "first")
        # In the same turn: the place is free, and the one who waits has not had its turn yet.
        await policy.run(work, "newcomer")

    async with anyio.create_task_group() as group:
        group.start_soon(first_and_again)
        await turn_until(lambda: order)
        group.start_soon(policy.run, work, "waiting")
        await turn_until(lambda: part._waiting)
        gate.set()
    assert order == ["first", "waiting", "newcomer"]


def test_a_thread_waits_no_longer_than_its_deadline():
    policy = Policy("places", Deadline(2.0), Bulkhead(1, max_waiting=8))
    (_, part) = policy._parts
    gate, errors = threading.Event(), []

    def refused():
        try:
            policy.call(gate.wait)
        except BulkheadFull as error:
            errors.append(error)

    with FakeClock() as clock:
        holder = threading.Thread(target=policy.call, args=(gate.wait,))
        holder.start()
        while policy._parts[1].state.snapshot()["out"] == 0:
            threading.Event().wait(0.001)
        late = threading.Thread(target=refused)
        late.start()
        while not (part._waiting and clock.pending):
            threading.Event().wait(0.001)
        clock.advance(2.0)
        late.join()
        gate.set()
        holder.join()
    assert len(errors) == 1


@everywhere
async def test_cancelled_calls_say_nothing_of_the_other_side(how):
    policy, work = Policy("places", AdaptiveLimit(initial=20, window=1.0)), Work()
    (part,) = policy._parts
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            for number in range(8):
                call = Call(how, partial(policy.run, work)).start(group)
                await turn_until(lambda number=number: work.started == number + 1)
                clock.advance(0.5)
                call.cancel()
                assert await call.ended() == "cancelled"
    assert part.state.limit == 20
