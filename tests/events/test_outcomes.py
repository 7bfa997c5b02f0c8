"""What an emission tells of its handlers."""

from __future__ import annotations

import sys
import time

import anyio
import anyio.lowlevel
import pytest

from penstock import EventBus
from penstock.events import Outcome, Outcomes

from .recorder import Recorder


async def test_five_handlers_one_raising_one_slow_one_cancelled(anyio_backend_name: str):
    bus = EventBus("five")
    begun: list[str] = []
    slow_may_end = anyio.Event()

    async def quick(data: int) -> int:
        begun.append("quick")
        return data + 1

    async def raising(data: int) -> None:
        begun.append("raising")
        await anyio.lowlevel.checkpoint()
        raise ValueError(f"no {data}")

    async def slow(data: int) -> str:
        begun.append("slow")
        await slow_may_end.wait()
        await anyio.sleep(0.05)
        return "at last"

    async def cancelled(data: int) -> None:
        begun.append("cancelled")
        if anyio_backend_name == "asyncio":
            sys.modules["asyncio"].current_task().cancel()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(1)
        # On trio nobody cancels a task from elsewhere but by a scope, which is the handler's own.

    async def last(data: int) -> str:
        begun.append("last")
        slow_may_end.set()
        return "last"

    for handler in (quick, raising, slow, cancelled, last):
        bus.on("thing.happened", handler)

    began = time.monotonic()
    outcomes = await bus.emit("thing.happened", 41)
    took = time.monotonic() - began

    assert begun == ["quick", "raising", "slow", "cancelled", "last"]
    assert [outcome.handler for outcome in outcomes] == [quick, raising, slow, cancelled, last]
    assert outcomes[0].result == 42
    assert outcomes[0].is_ok
    assert isinstance(outcomes[1].error, ValueError)
    assert str(outcomes[1].error) == "no 41"
    assert outcomes[2].result == "at last"
    assert outcomes[3].was_cancelled == (anyio_backend_name == "asyncio")
    assert outcomes[3].error is None
    assert outcomes[4].result == "last"
    assert outcomes[2].seconds >= 0.05
    assert outcomes[2].seconds <= took
    assert outcomes[0].seconds < outcomes[2].seconds
    assert took >= 0.05
    assert not outcomes.is_ok


async def test_they_run_in_parallel():
    bus = EventBus("parallel")
    waiting = 0
    all_there = anyio.Event()

    async def meet(_data: object) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 10:
            all_there.set()
        await all_there.wait()

    for _ in range(10):
        bus.on("meet", meet)
    with anyio.fail_after(5):
        assert (await bus.emit("meet")).is_ok


async def test_a_sequence_of_outcomes():
    bus = EventBus("sequence")
    recorder = Recorder()
    for name in "abc":
        bus.on("x", recorder.handler(name))
    outcomes = await bus.emit("x", 1)
    assert isinstance(outcomes, Outcomes)
    assert len(outcomes) == 3
    assert all(isinstance(each, Outcome) for each in outcomes)
    assert [each.result for each in outcomes] == ["a", "b", "c"] == outcomes.results
    assert outcomes[-1].result == "c"
    assert [each.result for each in outcomes[::-2]] == ["c", "a"]
    assert outcomes.errors == []
    assert outcomes.is_ok
    assert outcomes.event == "x" == outcomes[0].event
    outcomes.raise_if_failed()
    with pytest.raises(IndexError):
        outcomes[3]
    assert repr(outcomes) == "<Outcomes of x: 3 returned, 0 failed, 0 cancelled>"
    assert repr(outcomes[0]) == "<Outcome of a: 'a'>"


async def test_nobody_hears():
    outcomes = await EventBus("lonely").emit("x", 1)
    assert list(outcomes) == []
    assert outcomes.is_ok


async def test_failures_as_one_group():
    bus = EventBus("group")
    recorder = Recorder()
    bus.on("x", recorder.handler("a", error=ValueError("one")))
    bus.on("x", recorder.handler("b"))
    bus.on("x", recorder.handler("c", suspends=True, error=KeyError("two")))
    outcomes = await bus.emit("x")
    with pytest.raises(ExceptionGroup, match="2 of 3 handlers of x failed") as caught:
        outcomes.raise_if_failed()
    assert [type(each) for each in caught.value.exceptions] == [ValueError, KeyError]
    assert outcomes.errors == list(caught.value.exceptions)
    assert outcomes.results == ["b"]
    assert caught.value.exceptions[0].__traceback__ is not None


async def test_priority_and_then_order_of_subscription():
    bus = EventBus("priority")
    recorder = Recorder()
    bus.on("x", recorder.handler("c"))
    bus.on("x", recorder.handler("a", suspends=True), priority=10)
    bus.on("x", recorder.handler("d"))
    bus.on("x", recorder.handler("e", suspends=True), priority=-1)
    bus.on("x", recorder.handler("b"), priority=10)
    outcomes = await bus.emit("x", 0)
    assert [name for name, _ in recorder.seen] == ["a", "b", "c", "d", "e"]
    assert outcomes.results == ["a", "b", "c", "d", "e"]


async def test_data_data_and_name_or_nothing():
    bus = EventBus("arity")
    seen: list[object] = []

    async def one(data: object) -> None:
        seen.append(("one", data))

    async def two(data: object, name: str) -> None:
        seen.append(("two", data, name))

    async def none() -> None:
        seen.append("none")

    async def optional(data: object, more: int = 3) -> None:
        seen.append(("optional", data, more))

    async def anything(*args: object) -> None:
        seen.append(("anything", *args))

    for handler in (one, two, none, optional, anything):
        bus.on("a.b", handler)
    (await bus.emit("a.b", 7)).raise_if_failed()
    assert seen == [
        ("one", 7),
        ("two", 7, "a.b"),
        "none",
        ("optional", 7, 3),
        ("anything", 7),
    ]


async def test_a_handler_that_ends_the_program_does_so():
    bus = EventBus("exit")

    async def leave(_data: object) -> None:
        raise SystemExit(3)

    bus.on("x", leave)
    with pytest.raises(BaseException) as caught:
        await bus.emit("x")
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, SystemExit)
    assert error.code == 3


async def test_an_emission_that_is_never_awaited_warns_and_does_nothing():
    bus = EventBus("forgotten")
    recorder = Recorder()
    bus.on("x", recorder.handler("a"))
    with pytest.warns(RuntimeWarning, match="emission of x was never awaited"):
        bus.emit("x")
    assert recorder.seen == []
    emission = bus.emit("x")
    await emission
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await emission
