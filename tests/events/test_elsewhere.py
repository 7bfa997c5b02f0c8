"""Emits from other threads and loops; one loop owns a bus."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio

from penstock import EventBus, tracing
from penstock.errors import Closed, Full, Misuse
from penstock.events import Dropped

from .recorder import hint_of, until


async def in_thread(fn, *args):
    return await anyio.to_thread.run_sync(fn, *args)


async def test_events_of_a_thread_arrive_in_order_on_the_owners_thread():
    home = threading.get_ident()
    seen = []

    async def handler(data):
        seen.append((data, threading.get_ident()))

    async with EventBus("thread") as bus:
        bus.on("x", handler)

        def emit():
            for number in range(500):
                bus.emit_nowait("x", number)

        await in_thread(emit)
        await bus.drain()
        assert seen == [(number, home) for number in range(500)]


async def test_a_thread_waits_for_the_outcomes():
    async def handler(data):
        await anyio.sleep(0.001)
        return data * 2

    async def fails(data):
        raise ValueError(data)

    async with EventBus("sync") as bus:
        bus.on("x", handler)
        bus.on("x", fails)
        outcomes = await in_thread(bus.sync.emit, "x", 4)
        assert outcomes.results == [8]
        assert [str(error) for error in outcomes.errors] == ["4"]


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_another_loop_waits_for_the_outcomes(other: str):
    home = threading.get_ident()

    async def handler(data):
        await anyio.sleep(0.001)
        assert threading.get_ident() == home
        return data * 2

    async with EventBus("loops") as bus:
        bus.on("x", handler)

        async def elsewhere():
            outcomes = await bus.emit("x", 4)
            emission = bus.emit_nowait("x", 5)
            return outcomes.results + (await emission).results

        assert await in_thread(lambda: anyio.run(elsewhere, backend=other)) == [8, 10]


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_cancelling_an_emit_on_another_loop_ends_the_handlers_here(other: str):
    begun = threading.Event()
    ended = []

    async def handler(_data):
        begun.set()
        try:
            await anyio.sleep(30)
        finally:
            ended.append(1)

    async with EventBus("far") as bus:
        bus.on("x", handler)

        async def elsewhere():
            async with anyio.create_task_group() as group:
                group.start_soon(emit)
                await anyio.to_thread.run_sync(begun.wait)
                group.cancel_scope.cancel()
            return list(ended)

        async def emit():
            await bus.emit("x")

        assert await in_thread(lambda: anyio.run(elsewhere, backend=other)) == [1]


async def test_the_emitters_context_and_trace_come_along():
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("v", default="unset")
    tracer = tracing.Tracer("test")

    async def handler(_data):
        span = tracing.current_span()
        return variable.get(), None if span is None else span.trace_id

    async with EventBus("context") as bus:
        bus.on("x", handler)

        def emit():
            variable.set("thread")
            with tracer.span("emits") as span:
                return span.trace_id, bus.sync.emit("x").results

        trace_id, results = await in_thread(emit)
        assert results == [("thread", trace_id)]
        with tracer.span("emits") as span:
            assert (await bus.emit("x")).results == [("unset", span.trace_id)]


async def blocked_bus(overflow, **options):
    """A bus whose one emission at a time goes on until it is let go; two may wait."""
    gate = anyio.Event()
    seen = []

    async def handler(data):
        seen.append(data)
        await gate.wait()

    bus = EventBus("blocked", queue=2, overflow=overflow, **options)
    bus.on("x", handler)
    return bus, gate, seen


async def fill(bus, seen):
    """Two go on, one is in the pump's hand, two wait."""
    for number in range(2):
        bus.emit_nowait("x", number)
    await until(lambda: len(seen) >= 2)
    bus.emit_nowait("x", 2)
    await until(lambda: not bus._home._queue.qsize())
    bus.emit_nowait("x", 3)
    bus.emit_nowait("x", 4)
    assert bus.statistics().waiting == 3


@pytest.mark.parametrize("overflow", ["block", "error"])
async def test_no_room_is_an_error_on_the_owners_loop(overflow):
    bus, gate, seen = await blocked_bus(overflow)
    async with bus:
        await fill(bus, seen)
        with pytest.raises(Full, match="2 events wait"):
            bus.emit_nowait("x", 5)
        gate.set()
    assert seen == [0, 1, 2, 3, 4]


async def test_a_thread_blocks_until_there_is_room():
    bus, gate, seen = await blocked_bus("block")
    async with bus:
        await fill(bus, seen)
        has_put = threading.Event()

        def emit():
            bus.emit_nowait("x", 5)
            has_put.set()

        thread = threading.Thread(target=emit)
        thread.start()
        await anyio.sleep(0.02)
        assert not has_put.is_set()
        gate.set()
        await in_thread(thread.join)
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("overflow", "kept", "lost"),
    [("drop_oldest", [0, 1, 2, 4, 5], [3]), ("drop_newest", [0, 1, 2, 3, 4], [5])],
)
async def test_what_is_dropped_is_counted_and_told(overflow, kept, lost):
    told = []
    bus, gate, seen = await blocked_bus(
        overflow, on_drop=lambda event, data: told.append((event, data))
    )
    async with bus:
        await fill(bus, seen)
        emission = bus.emit_nowait("x", 5)
        assert bus.statistics().dropped == 1
        if overflow == "drop_newest":
            with pytest.raises(Dropped):
                await emission
        gate.set()
    assert seen == kept
    assert told == [("x", number) for number in lost]


async def test_an_awaited_emit_does_not_overtake_what_waits():
    bus, gate, seen = await blocked_bus("block")
    async with bus:
        for number in range(5):
            bus.emit_nowait("x", number) if number < 4 else None
            await anyio.sleep(0.001)
        async with anyio.create_task_group() as group:

            async def emit():
                await bus.emit("x", 9)

            group.start_soon(emit)
            await anyio.sleep(0.01)
            gate.set()
        assert seen == [0, 1, 2, 3, 9]
        # And once nothing waits, the short way is open again.
        await bus.drain()
        assert not bus._is_congested


async def test_the_blocking_view_is_refused_on_a_loop():
    bus = EventBus("refused")
    bus.on("x", lambda _data: None, inline=True)
    with pytest.raises(Misuse, match="would stop the loop") as caught:
        bus.sync.emit("x")
    assert "await" in hint_of(caught.value)


async def test_emit_nowait_needs_an_open_bus_on_a_loop():
    bus = EventBus("not open")
    with pytest.raises(Misuse, match="is not open") as caught:
        bus.emit_nowait("x")
    assert "async with" in hint_of(caught.value)


async def test_a_second_loop_is_refused_while_the_first_goes_on_and_the_bus_is_not_open():
    bus = EventBus("two loops")
    await bus.emit("x")

    async def elsewhere():
        with pytest.raises(Misuse, match="in use on another loop"):
            await bus.emit("x")
        with pytest.raises(Misuse, match="in use on another loop"):
            async with bus:
                pass

    for backend in ("asyncio", "trio"):
        await in_thread(lambda backend=backend: anyio.run(elsewhere, backend=backend))

    def thread():
        with pytest.raises(Misuse, match="not open"):
            bus.sync.emit("x")

    await in_thread(thread)


def test_one_loop_after_the_other():
    bus = EventBus("successive")
    seen = []

    async def handler(data):
        await anyio.lowlevel.checkpoint()
        seen.append(data)

    bus.on("x", handler)

    async def emit(data):
        await bus.emit("x", data)

    async def opened(data):
        async with bus:
            bus.emit_nowait("x", data)

    for number, backend in enumerate(["asyncio", "trio", "asyncio", "trio"]):
        anyio.run(emit, number, backend=backend)
        anyio.run(opened, number, backend=backend)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_after_the_block_threads_are_told():
    bus = EventBus("over")
    bus.on("x", lambda _data: anyio.lowlevel.checkpoint(), inline=True)
    async with bus:
        assert bus.health()
        with pytest.raises(Misuse, match="open already"):
            async with bus:
                pass
    assert not bus.health()
    with pytest.raises(Misuse, match="not open"):
        bus.emit_nowait("x")


async def test_what_is_queued_at_the_end_is_begun_yet():
    seen = []

    async def handler(data):
        seen.append(data)
        await anyio.sleep(0.001)
        ended.append(data)

    ended: list[int] = []
    async with EventBus("end") as bus:
        bus.on("x", handler)

        def emit():
            for number in range(50):
                bus.emit_nowait("x", number)

        await in_thread(emit)
    assert seen == list(range(50)) == sorted(ended)


async def test_what_is_queued_when_the_end_is_abrupt_fails_for_who_waits():
    bus, _gate, seen = await blocked_bus("block")
    emissions = []
    with anyio.move_on_after(0.05):
        async with bus:
            await fill(bus, seen)
            emissions.append(bus._home._queue)
            await anyio.sleep(30)
    assert seen == [0, 1]
    with pytest.raises(Closed):
        emissions[0].put_nowait(None)


async def test_a_failure_that_nobody_awaits_is_logged(caplog):
    async def fails(_data):
        raise ValueError("unheard")

    async def fails_later(_data):
        await anyio.lowlevel.checkpoint()
        raise ValueError("unheard later")

    async with EventBus("log") as bus:
        bus.on("x", fails)
        bus.on("x", fails_later)
        with caplog.at_level(logging.ERROR, logger="penstock.events"):
            bus.emit_nowait("x")
            await bus.drain()
            await anyio.sleep(0.001)
    assert [record.exc_info[1].args[0] for record in caplog.records] == ["unheard", "unheard later"]
    assert "failed at x" in caplog.text


async def test_a_failure_that_nobody_awaits_goes_to_on_error_and_an_awaited_one_does_not():
    heard = []

    async def fails(data):
        raise ValueError(data)

    async with EventBus("on error", on_error=heard.append) as bus:
        bus.on("x", fails)
        bus.emit_nowait("x", "ignored")
        await bus.drain()
        await anyio.sleep(0.001)
        assert [(each.event, str(each.error)) for each in heard] == [("x", "ignored")]
        assert len((await bus.emit_nowait("x", "awaited")).errors) == 1
        assert len((await bus.emit("x", "awaited")).errors) == 1
        await bus.drain()
        assert len(heard) == 1


async def test_several_threads_and_loops_at_once_lose_nothing():
    seen: dict[str, list[int]] = {}

    async def handler(data):
        name, number = data
        seen.setdefault(name, []).append(number)

    async with EventBus("many", queue=16) as bus:
        bus.on("x", handler)

        def from_thread(name):
            for number in range(200):
                bus.emit_nowait("x", (name, number))

        async def from_loop(name):
            for number in range(200):
                await bus.emit("x", (name, number))

        async with anyio.create_task_group() as group:
            group.start_soon(in_thread, from_thread, "thread 1")
            group.start_soon(in_thread, from_thread, "thread 2")
            group.start_soon(in_thread, lambda: asyncio.run(from_loop("asyncio")))
            group.start_soon(in_thread, lambda: trio.run(from_loop, "trio"))
            await from_loop("home")
        await bus.drain()
    assert set(seen) == {"thread 1", "thread 2", "asyncio", "trio", "home"}
    assert all(numbers == list(range(200)) for numbers in seen.values())
