"""Async generators: tried again before their first item only; the deadline bounds them whole."""

from __future__ import annotations

import inspect

import anyio
import pytest

from penstock import Cache, Deadline, Fallback, Hedge, Policy, Retry, Timeout
from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout, DeadlineExceeded, remaining
from penstock.testing import FakeClock, capture

from .calls import Call, everywhere, turn_until


async def test_it_is_tried_again_before_its_first_item(anyio_backend):
    starts = []

    @Policy("stream", Retry(delay=0.0))
    async def numbers(count: int):
        """Counts."""
        starts.append(count)
        if len(starts) < 3:
            raise OSError
        for number in range(count):
            yield number

    assert inspect.isasyncgenfunction(numbers)
    assert (numbers.__name__, numbers.__doc__) == ("numbers", "Counts.")
    assert [number async for number in numbers(3)] == [0, 1, 2]
    assert starts == [3, 3, 3]


async def test_after_its_first_item_an_error_is_raised(anyio_backend):
    starts, seen = [], []

    @Policy("stream", Retry(delay=0.0))
    async def numbers():
        starts.append(1)
        yield 1
        raise OSError

    with pytest.raises(OSError) as raised:
        async for number in numbers():
            seen.append(number)  # noqa: PERF401 - what came before the error counts
    assert (starts, seen) == ([1], [1])
    assert not hasattr(raised.value, "__notes__")


async def test_an_empty_one(anyio_backend):
    @Policy("stream", Deadline(9.0), Retry(delay=0.0), Timeout(3.0))
    async def nothing():
        return
        yield

    assert [item async for item in nothing()] == []


@everywhere
async def test_the_timeout_is_for_the_first_item(how):
    gate, starts = anyio.Event(), []

    @Policy("stream", Timeout(2.0))
    async def numbers():
        starts.append(1)
        yield 1
        starts.append(2)
        await gate.wait()
        yield 2
        starts.append(3)
        await anyio.sleep_forever()

    @Policy("stream", Timeout(2.0))
    async def late():
        await anyio.sleep_forever()
        yield

    async def collect(stream):
        return [number async for number in stream]

    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call(how, lambda: collect(numbers())).start(group)
            await turn_until(lambda: len(starts) == 2)
            clock.advance(99.0)
            gate.set()
            await turn_until(lambda: len(starts) == 3)
            call.cancel()
            assert await call.ended() == "cancelled"
            call = Call(how, lambda: collect(late())).start(group)
            await turn_until(lambda: clock.pending)
            clock.advance(2.0)
            assert isinstance(await call.ended(), AttemptTimeout)


@everywhere
async def test_the_deadline_is_for_all_of_it(how):
    seen, left = [], []

    @Policy("stream", Deadline(5.0))
    async def numbers():
        for number in range(9):
            left.append(remaining())
            yield number
        await anyio.sleep_forever()

    async def collect():
        async for number in numbers():
            seen.append(number)
            left.append(remaining())
            clock.advance(0.25)

    async with anyio.create_task_group() as group:
        with FakeClock() as clock, capture("stream") as events:
            call = Call(how, collect).start(group)
            await turn_until(lambda: len(seen) == 9 and clock.pending)
            clock.advance(5.0)
            assert isinstance(await call.ended(), DeadlineExceeded)
    assert left[:4] == [5.0, None, 4.75, None], "the consumer has no deadline"
    assert [event.kind for event in events] == ["exceeded"]


async def test_leaving_early_ends_the_generator(anyio_backend):
    ended = []

    @Policy("stream", Deadline(5.0), Retry(delay=0.0))
    async def numbers():
        try:
            while True:
                yield 1
        finally:
            ended.append(1)

    stream = numbers()
    async for _ in stream:
        break
    await stream.aclose()
    assert ended == [1]


@pytest.mark.parametrize("strategy", [Fallback(value=0), Cache(1.0), Hedge(1.0)])
def test_what_means_nothing_is_refused(strategy):
    with pytest.raises(Misuse, match="means nothing for an async generator"):

        @Policy("stream", strategy)
        async def numbers():
            yield 1


def test_by_result_means_nothing():
    with pytest.raises(Misuse, match="on_result means nothing"):

        @Policy("stream", Retry(on_result=bool))
        async def numbers():
            yield 1
