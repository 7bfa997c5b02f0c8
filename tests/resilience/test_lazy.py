"""One loop timer for all that is pending, and none where nothing is."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from penstock import Deadline, Policy, Timeout
from penstock.resilience import AttemptTimeout
from tests.loops import LOOPS, NATIVE

natively = pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)


class Timers:
    """Counts the timers of the running loop."""

    def __init__(self, monkeypatch):
        self.made = 0
        loop = asyncio.get_running_loop()
        self._call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", self.call_later, raising=False)

    def call_later(self, *arguments, **options):
        self.made += 1
        return self._call_later(*arguments, **options)


async def one():
    await asyncio.sleep(0)
    return 1


@natively
async def test_a_thousand_calls_make_one_timer(anyio_backend, monkeypatch):
    try:
        timers = Timers(monkeypatch)
    except AttributeError:
        pytest.skip("this loop's methods cannot be replaced")
    policies = [
        Policy("a", Deadline(100.0), Timeout(50.0)),
        Policy("b", Timeout(60.0)),
        Policy("c", Deadline(200.0)),
    ]
    # The soonest of all sets the timer; those after it find it set.
    await Policy("first", Timeout(40.0)).run(one)
    for _ in range(300):
        for policy in policies:
            assert await policy.run(one) == 1
    assert timers.made == 1


@natively
async def test_nothing_stays_pending(anyio_backend):
    policy = Policy("a", Deadline(100.0), Timeout(50.0))

    async def fail():
        raise OSError

    await asyncio.gather(*(policy.run(one) for _ in range(50)))
    with pytest.raises(OSError):
        await policy.run(fail)
    assert all(not part.slot.bucket.pending for part in policy._parts)


@natively
async def test_short_ones_among_long_ones_end_in_time_and_order(anyio_backend):
    ended = []

    async def hang(seconds):
        with pytest.raises(AttemptTimeout):
            await Policy("hang", Timeout(seconds)).run(asyncio.Event().wait)
        ended.append(seconds)

    await asyncio.gather(*(hang(seconds) for seconds in (0.06, 0.02, 0.04, 0.001)))
    assert ended == [0.001, 0.02, 0.04, 0.06]


@natively
async def test_it_does_not_end_before_its_time(anyio_backend):
    loop = asyncio.get_running_loop()
    for seconds in (0.001, 0.0105, 0.02):
        since = loop.time()
        with pytest.raises(AttemptTimeout):
            await Policy("hang", Timeout(seconds)).run(asyncio.Event().wait)
        # uvloop's own clock is one of whole milliseconds.
        assert loop.time() - since >= seconds - 0.002


async def test_real_time_ends_an_attempt(anyio_backend):
    import anyio

    with pytest.raises(AttemptTimeout):
        await Policy("hang", Timeout(0.01)).run(anyio.Event().wait)


def test_a_policy_holds_no_loop():
    policy = Policy("a", Timeout(50.0))
    loops = []

    async def use():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return await policy.run(one)

    for _ in range(3):
        assert asyncio.run(use()) == 1
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


@natively
async def test_a_call_that_swallows_the_cancel_keeps_its_result(anyio_backend):
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "kept"

    assert await Policy("hang", Timeout(0.005)).run(stubborn) == "kept"
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


@natively
async def test_what_cleaning_up_raises_is_raised(anyio_backend):
    async def broken():
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Policy("hang", Timeout(0.005)).run(broken)
    assert asyncio.current_task().cancelling() == 0
