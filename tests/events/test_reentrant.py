"""Handlers that emit on the bus that called them."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from penstock import EventBus
from penstock.errors import Misuse

from .recorder import hint_of


async def test_an_emit_in_a_first_step_is_as_a_call():
    """Its handlers begin before those that come behind the one that emits."""
    bus = EventBus("call")
    seen = []

    async def outer(_data):
        seen.append("outer begins")
        outcomes = await bus.emit("inner")
        seen.append("outer goes on")
        return outcomes.results

    async def inner(_data):
        seen.append("inner")
        return 1

    async def behind(_data):
        seen.append("behind")

    bus.on("outer", outer)
    bus.on("outer", behind)
    bus.on("inner", inner)
    outcomes = await bus.emit("outer")
    assert outcomes[0].result == [1]
    assert seen.index("inner") < seen.index("outer goes on")
    assert seen[0] == "outer begins"
    assert sorted(seen) == ["behind", "inner", "outer begins", "outer goes on"]


async def test_the_same_event_within_its_handler():
    bus = EventBus("same")
    seen = []

    async def handler(data):
        seen.append(data)
        if data:
            await bus.emit("x", data - 1)
            await anyio.lowlevel.checkpoint()

    bus.on("x", handler)
    assert (await bus.emit("x", 5)).is_ok
    assert seen == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("suspends", [False, True])
async def test_a_circle_ends_with_a_clear_error(suspends: bool):
    bus = EventBus("circle", max_depth=20)
    deepest = 0

    def handler(name, other):
        async def handle(data):
            nonlocal deepest
            deepest = max(deepest, data)
            if suspends:
                await anyio.lowlevel.checkpoint()
            (await bus.emit(other, data + 1)).raise_if_failed()

        handle.__qualname__ = name
        return handle

    bus.on("a", handler("first", "b"))
    bus.on("b", handler("second", "a"))
    outcomes = await bus.emit("a", 1)
    error = outcomes[0].error
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, Misuse)
    assert "20 emissions deep" in str(error)
    assert "max_depth" in hint_of(error)
    assert deepest == 20
    # And the bus is as it was.
    bus.on("c", handler("last", "d"))
    assert (await bus.emit("c", 1)).is_ok


async def test_emit_nowait_in_a_handler():
    seen = []

    async def outer(_data):
        bus.emit_nowait("inner", 1)
        seen.append("outer")

    async def inner(_data):
        await anyio.lowlevel.checkpoint()
        seen.append("inner")

    async with EventBus("nowait") as bus:
        bus.on("outer", outer)
        bus.on("inner", inner)
        await bus.emit("outer")
        await bus.drain()
    assert seen == ["outer", "inner"]


async def test_a_handler_that_subscribes_and_unsubscribes_changes_the_next_emission():
    bus = EventBus("changes")
    seen = []

    async def late(data):
        seen.append(("late", data))

    async def handler(data):
        seen.append(("handler", data))
        if data == 1:
            bus.on("x", late)
            off()

    async def other(data):
        seen.append(("other", data))

    bus.on("x", handler)
    off = bus.on("x", other)
    await bus.emit("x", 1)
    await bus.emit("x", 2)
    assert seen == [("handler", 1), ("other", 1), ("handler", 2), ("late", 2)]


async def test_once_that_emits_the_same_event():
    bus = EventBus("once")
    seen = []

    async def handler(data):
        seen.append(data)
        await bus.emit("x", data + 1)

    bus.once("x", handler)
    await bus.emit("x", 1)
    assert seen == [1]


async def test_a_thread_handler_that_emits_and_waits():
    async with EventBus("thread") as bus:

        def outer(data):
            return bus.sync.emit("inner", data + 1).results

        async def inner(data):
            await anyio.lowlevel.checkpoint()
            return data + 1

        bus.on("outer", outer)
        bus.on("inner", inner)
        with anyio.fail_after(5):
            assert (await bus.emit("outer", 1)).results == [[3]]
