"""What happens in one turn of the loop, or after a cancel that somebody has swallowed."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest

from penstock import AdaptiveLimit, Cache, Deadline, Hedge, Policy, Timeout
from penstock.resilience import AttemptTimeout, remaining
from penstock.testing import FakeClock
from tests.loops import LOOPS, NATIVE

from .calls import Call, Work, everywhere, turn_until

native = pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)


async def swallow_a_cancel():
    """Leaves the task with a request to end that nobody has taken back."""
    task = asyncio.current_task()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert task.cancelling() == 1


@native
async def test_a_timeout_is_an_error_also_after_a_swallowed_cancel(anyio_backend):
    policy, work = Policy("odd", Timeout(2.0)), Work()

    async def call():
        await swallow_a_cancel()
        with pytest.raises(AttemptTimeout):
            await policy.run(work)
        return asyncio.current_task().cancelling()

    with FakeClock() as clock:
        task = asyncio.get_running_loop().create_task(call())
        await turn_until(lambda: work.running)
        clock.advance(2.0)
        assert await task == 1, "the swallowed one is still there, and no other"


@native
async def test_a_call_after_a_swallowed_cancel_leaves_nothing_pending(anyio_backend):
    policy = Policy("odd", Timeout(2.0))

    async def quick():
        return "done"

    async def call():
        await swallow_a_cancel()
        assert await policy.run(quick) == "done"
        clock.advance(5.0)
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    with FakeClock() as clock:
        assert await asyncio.get_running_loop().create_task(call()) == 1
        assert policy._parts[0].slot.bucket.pending == {}


@native
async def test_a_stream_that_swallows_its_deadline_leaves_no_mark(anyio_backend):
    policy = Policy("odd", Deadline(2.0))
    waits = []

    @policy
    async def items():
        yield 1
        waits.append(None)
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            yield 2  # late, and not to be had from it in any other way

    async def read():
        seen = [item async for item in items()]
        return seen, asyncio.current_task().cancelling()

    with FakeClock() as clock:
        task = asyncio.get_running_loop().create_task(read())
        await turn_until(lambda: waits)
        clock.advance(2.0)
        assert await task == ([1, 2], 0)


@native
async def test_a_call_that_moves_the_clock_itself_is_ended_at_its_next_pause_only(anyio_backend):
    policy = Policy("odd", Timeout(2.0))

    async def works(*, pauses):
        clock.advance(5.0)
        if pauses:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return "done"

    async def call():
        assert await policy.run(partial(works, pauses=False)) == "done"
        for _ in range(3):  # a request to end that was left behind would be heard here
            await asyncio.sleep(0)
        with pytest.raises(AttemptTimeout):
            await policy.run(partial(works, pauses=True))
        return asyncio.current_task().cancelling()

    with FakeClock() as clock:
        assert await asyncio.get_running_loop().create_task(call()) == 0


async def test_a_load_has_not_the_deadline_of_who_began_it(anyio_backend):
    cached = Policy("odd", Cache(60.0))

    async def left():
        return remaining()

    with FakeClock():
        assert await Policy("outer", Deadline(5.0)).run(cached.run, left) is None
        assert await Policy("outer", Deadline(5.0)).run(left) == 5.0


@everywhere
async def test_a_renewal_goes_on_when_who_waits_for_it_leaves(how):
    policy, work = Policy("odd", Cache(4.0, 3.0)), Work()
    work.gate.set()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            assert await policy.run(work) == "done"
            work.gate = anyio.Event()
            work.result = "new"
            clock.advance(5.0)
            assert await policy.run(work) == "done"  # stale, and being renewed
            await turn_until(lambda: work.running)
            clock.advance(3.0)  # too old now: callers wait for the renewal
            call = Call(how, partial(policy.run, work)).start(group)
            (flight,) = policy._parts[0]._flights.values()
            await turn_until(lambda: flight._aboard == 1)
            call.cancel()
            assert await call.ended() == "cancelled"
            work.gate.set()
            await turn_until(lambda: not policy._parts[0]._flights)
            assert await policy.run(work) == "new"
    assert (work.started, work.cancelled) == (2, 0)


@native
async def test_the_longest_overdue_ends_first(anyio_backend):
    ended = []

    async def call(seconds, work):
        try:
            await Policy("odd", Timeout(seconds)).run(work)
        except AttemptTimeout:
            ended.append(seconds)

    work = Work()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            for number, seconds in enumerate((3.0, 1.0, 4.0, 2.0)):
                group.start_soon(call, seconds, work)
                await turn_until(lambda number=number: work.running == number + 1)
            clock.advance(5.0)
            await turn_until(lambda: len(ended) == 4)
    assert ended == [1.0, 2.0, 3.0, 4.0]


@native
async def test_a_hedge_that_was_not_needed_leaves_nothing_pending(anyio_backend):
    policy = Policy("odd", Hedge(1.0))

    async def quick():
        await asyncio.sleep(0)
        return "done"

    with FakeClock():
        assert await policy.run(quick) == "done"
        assert policy._parts[0].slot.bucket.pending == {}


@everywhere
async def test_who_comes_as_the_last_one_leaves_does_not_end_with_the_load(how):
    policy, work = Policy("odd", Cache(60.0)), Work()
    async with anyio.create_task_group() as group:
        last = Call(how, partial(policy.run, work)).start(group)
        await turn_until(lambda: work.running)
        # Its cancel and the newcomer are in one turn, so the load has not heard of its end yet.
        last.cancel()
        late = Call(how, partial(policy.run, work)).start(group)
        assert await last.ended() == "cancelled"
        work.gate.set()
        assert await late.ended() == "done"


async def test_a_stream_that_times_out_in_the_middle_lowers_the_limit(anyio_backend):
    policy = Policy("odd", AdaptiveLimit(initial=20, max_limit=20))

    @policy
    async def items():
        yield 1
        raise TimeoutError

    with pytest.raises(TimeoutError):
        async for _ in items():
            pass
    assert policy._parts[0].state.limit < 20
