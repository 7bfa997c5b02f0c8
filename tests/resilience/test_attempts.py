"""Blocks that are run again, on every loop and in threads."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from penstock import Cache, Deadline, Fallback, Hedge, Policy, Retry, Timeout
from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout, remaining
from penstock.testing import FakeClock, capture, instant

from .calls import Call, everywhere, turn_until

POLICY = Policy("block", Deadline(60.0), Retry(attempts=3, delay=1.0, jitter=0.0), Timeout(5.0))


async def test_a_block_runs_until_it_works(anyio_backend):
    numbers = []
    with instant() as clock:
        async for attempt in POLICY.attempts():
            async with attempt:
                numbers.append(attempt.number)
                await anyio.lowlevel.checkpoint()
                if attempt.number < 3:
                    raise OSError(attempt.number)
                result = "done"
    assert (numbers, result) == ([1, 2, 3], "done")
    assert clock.sleeps == [1.0, 2.0]


async def test_one_attempt_is_enough(anyio_backend):
    numbers = []
    async for attempt in POLICY.attempts():
        async with attempt:
            numbers.append(attempt.number)
            assert remaining() is not None
    assert numbers == [1]
    assert remaining() is None


async def test_the_last_error_is_raised_with_its_notes(anyio_backend):
    errors = [OSError(number) for number in (1, 2, 3)]
    with instant(), pytest.raises(OSError) as raised:
        async for attempt in POLICY.attempts():
            async with attempt:
                raise errors[attempt.number - 1]
    assert raised.value is errors[2]
    assert len(raised.value.__notes__) == 3


async def test_an_attempt_that_hangs_is_ended_and_repeated(anyio_backend):
    numbers = []
    with FakeClock() as clock:
        async with anyio.create_task_group() as group:

            async def block():
                async for attempt in POLICY.attempts():
                    async with attempt:
                        numbers.append(attempt.number)
                        if attempt.number == 1:
                            await anyio.sleep_forever()

            call = Call("scope", block).start(group)
            await turn_until(lambda: numbers)
            clock.advance(5.0)
            await turn_until(lambda: clock.sleeping)
            clock.advance(1.0)
            assert await call.ended() is None
    assert numbers == [1, 2]


async def test_a_timeout_comes_out_of_the_block(anyio_backend):
    policy = Policy("block", Timeout(5.0))
    with FakeClock() as clock:
        async with anyio.create_task_group() as group:

            async def block():
                async for attempt in policy.attempts():
                    async with attempt:
                        await anyio.sleep_forever()

            call = Call("scope", block).start(group)
            await turn_until(lambda: clock.pending)
            clock.advance(5.0)
            assert isinstance(await call.ended(), AttemptTimeout)


@everywhere
async def test_a_cancel_in_the_block_passes_through(how):
    numbers = []

    async def block():
        async for attempt in POLICY.attempts():
            async with attempt:
                numbers.append(attempt.number)
                await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        with capture("block") as events:
            call = Call(how, block).start(group)
            await turn_until(lambda: numbers)
            call.cancel()
            assert await call.ended() == "cancelled"
    assert numbers == [1]
    assert events == []


async def test_leaving_the_loop_from_the_block(anyio_backend):
    async def first():
        async for attempt in POLICY.attempts():
            async with attempt:
                return attempt.number
        return None

    assert await first() == 1
    assert remaining() is None


def test_in_a_thread():
    policy = Policy("block", Deadline(60.0), Retry(attempts=3, delay=1.0, jitter=0.0))
    numbers = []
    with instant() as clock:
        for attempt in policy.attempts():
            with attempt:
                numbers.append(attempt.number)
                if attempt.number < 3:
                    raise OSError
    assert numbers == [1, 2, 3]
    assert clock.sleeps == [1.0, 2.0]
    with instant(), pytest.raises(OSError) as raised:
        for attempt in policy.attempts():
            with attempt:
                raise OSError(attempt.number)
    assert raised.value.args == (3,)
    assert len(raised.value.__notes__) == 3


def test_an_interruption_in_a_thread():
    numbers = []
    with pytest.raises(KeyboardInterrupt):
        for attempt in Policy("block", Retry(delay=0.0)).attempts():
            with attempt:
                numbers.append(attempt.number)
                raise KeyboardInterrupt
    assert numbers == [1]


@pytest.mark.parametrize("strategy", [Fallback(value=0), Cache(1.0), Hedge(1.0)])
def test_what_needs_a_function_is_refused(strategy):
    with pytest.raises(Misuse, match=f"{type(strategy).__name__} means nothing for a block"):
        Policy("block", strategy).attempts()


def test_a_block_of_a_thread_cannot_be_ended():
    with pytest.raises(Misuse, match="Timeout cannot end a block of a thread"):
        iter(POLICY.attempts())


def test_for_one_loop():
    attempts = Policy("block", Retry()).attempts()
    for attempt in attempts:
        with attempt:
            pass
    with pytest.raises(Misuse, match="for one loop"):
        iter(attempts)


async def test_the_loop_and_the_block_agree(anyio_backend):
    with pytest.raises(Misuse, match="differ"):
        async for attempt in Policy("block", Retry()).attempts():
            with attempt:
                pass
