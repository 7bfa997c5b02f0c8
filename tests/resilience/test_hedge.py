"""A second attempt beside a slow first one."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from penstock import Hedge, Policy
from penstock.errors import Misuse
from penstock.testing import FakeClock, capture
from tests.loops import LOOPS, NATIVE

from .calls import Call, turn_until


class Attempts:
    """Each attempt hangs until told how to end."""

    def __init__(self):
        self.gates = []
        self.cancelled = []

    async def __call__(self):
        number = len(self.gates)
        event, how = anyio.Event(), []
        self.gates.append((event, how))
        try:
            await event.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(number)
            raise
        if isinstance(how[0], Exception):
            raise how[0]
        return how[0]

    def end(self, number, how):
        event, told = self.gates[number]
        told.append(how)
        event.set()


async def test_a_fast_first_attempt_is_alone(anyio_backend):
    async def fast():
        return 1

    with capture("hedge") as events:
        assert await Policy("hedge", Hedge(3600.0)).run(fast) == 1
    assert events == []


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_first_result_wins(anyio_backend, winner):
    work = Attempts()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock, capture("hedge") as events:
            call = Call("scope", partial(Policy("hedge", Hedge(1.0)).run, work)).start(group)
            await turn_until(lambda: len(work.gates) == 1 and clock.pending)
            clock.advance(0.5)
            clock.advance(0.5)
            await turn_until(lambda: len(work.gates) == 2)
            work.end(winner, "won")
            assert await call.ended() == "won"
    assert work.cancelled == [1 - winner]
    assert [event.kind for event in events] == ["hedged", "won"]


async def test_no_more_than_max_extra(anyio_backend):
    work = Attempts()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            policy = Policy("hedge", Hedge(1.0, max_extra=2))
            call = Call("scope", partial(policy.run, work)).start(group)
            for number in (1, 2):
                await turn_until(lambda number=number: len(work.gates) == number and clock.pending)
                clock.advance(1.0)
            await turn_until(lambda: len(work.gates) == 3)
            for _ in range(10):
                clock.advance(1.0)
                await anyio.lowlevel.checkpoint()
            assert len(work.gates) == 3
            work.end(2, "third")
            assert await call.ended() == "third"
    assert sorted(work.cancelled) == [0, 1]


async def test_a_failure_is_no_result_while_another_runs(anyio_backend):
    work = Attempts()
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call("scope", partial(Policy("hedge", Hedge(1.0)).run, work)).start(group)
            await turn_until(lambda: len(work.gates) == 1 and clock.pending)
            clock.advance(1.0)
            await turn_until(lambda: len(work.gates) == 2)
            work.end(0, OSError("first"))
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            work.end(1, "second")
            assert await call.ended() == "second"


async def test_if_all_fail_the_error_that_came_first_is_raised(anyio_backend):
    work = Attempts()
    errors = [OSError("first"), ValueError("second")]
    async with anyio.create_task_group() as group:
        with FakeClock() as clock:
            call = Call("scope", partial(Policy("hedge", Hedge(1.0)).run, work)).start(group)
            await turn_until(lambda: len(work.gates) == 1 and clock.pending)
            clock.advance(1.0)
            await turn_until(lambda: len(work.gates) == 2)
            work.end(1, errors[1])
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            work.end(0, errors[0])
            assert await call.ended() is errors[1]


async def test_a_failure_alone_is_raised_at_once(anyio_backend):
    calls = []

    async def fail():
        calls.append(1)
        raise OSError

    with FakeClock(), pytest.raises(OSError):
        await Policy("hedge", Hedge(1.0)).run(fail)
    assert calls == [1]


@pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)
async def test_a_loser_that_does_not_end_is_left_behind_and_counted(anyio_backend):
    started = []
    gate, ended = anyio.Event(), anyio.Event()

    async def work():
        started.append(None)
        if len(started) == 2:
            return "second"
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await gate.wait()
            ended.set()

    policy = Policy("hedge", Hedge(1.0, grace=2.0))
    async with anyio.create_task_group() as group:
        with FakeClock() as clock, capture("hedge") as events:
            call = Call("native", partial(policy.run, work)).start(group)
            await turn_until(lambda: started and clock.pending)
            clock.advance(1.0)
            await turn_until(lambda: len(started) == 2)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            clock.advance(1.9)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert not call.is_over
            clock.advance(0.1)
            assert await call.ended() == "second"
            assert [event.kind for event in events] == ["hedged", "won", "left_behind"]
        gate.set()
        await ended.wait()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((-1.0,), "after"),
        ((1.0, 0), "max_extra"),
        ((1.0, 1, -1.0), "grace"),
        ((1.0, 1, 1.0, 5), "budget"),
    ],
)
def test_bad_input(arguments, name):
    with pytest.raises(Misuse, match=name):
        Hedge(*arguments)
