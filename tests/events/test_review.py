"""Guarantees that a first version broke; nearly all of these were seen to fail there."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
from contextlib import suppress

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock import EventBus, Outbox
from penstock.errors import Closed, Full, Misuse
from penstock.events import Outcomes

from .recorder import until


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("way", ["emit", "emit_nowait"])
async def test_what_a_handler_emits_in_turn_was_not_written_with_it(connection, way: str):
    outbox = Outbox("orders")
    outbox.create_tables(connection)
    errors = []

    async def handler(_data):
        try:
            await getattr(bus, way)("order.paid", {})
        except Misuse as error:
            errors.append(error)

    async with EventBus("orders") as bus:
        bus.bridge("order.*", to=outbox)
        bus.on("order.created", handler)
        connection.execute("BEGIN IMMEDIATE")
        within = bus.within(connection)
        if way == "emit":
            (await within.emit("order.created", {})).raise_if_failed()
        else:
            (await within.emit_nowait("order.created", {})).raise_if_failed()
        connection.execute("COMMIT")
    assert ["in a transaction of yours" in str(error) for error in errors] == [True]
    [(count,)] = connection.execute("SELECT count(*) FROM penstock_outbox_event")
    assert count == 1


async def test_an_emission_from_elsewhere_that_cannot_be_begun_is_refused_there():
    async with EventBus("refused") as bus:

        def thread():
            for name in ("a..bad", "", "a.*"):
                with pytest.raises(Misuse):
                    bus.emit_nowait(name)

        await anyio.to_thread.run_sync(thread)
        with pytest.raises(Misuse):
            bus.emit_nowait("a..bad")


async def test_one_that_fails_as_a_whole_is_logged(caplog):
    async with EventBus("logged") as bus:
        emission = bus._emission("x", None)
        with caplog.at_level(logging.ERROR, logger="penstock.events"):
            emission.fail(ValueError("not begun"))
            del emission
    assert "x was not begun" in caplog.text


async def test_a_tick_that_goes_on_by_itself_is_no_circle():
    ticks = 0
    done = anyio.Event()

    async def tick(_data):
        nonlocal ticks
        ticks += 1
        await anyio.lowlevel.checkpoint()
        if ticks < 300:
            bus.emit_nowait("tick")
        else:
            done.set()

    async with EventBus("ticks", max_depth=20) as bus:
        bus.on("tick", tick)
        bus.emit_nowait("tick")
        with anyio.fail_after(10):
            await done.wait()
    assert ticks == 300


async def test_a_refused_emit_uses_nobody_up(connection):
    outbox = Outbox("orders")
    outbox.create_tables(connection)
    bus = EventBus("orders")
    heard = []
    bus.once("x", heard.append, inline=True, priority=1)
    off = bus.bridge("x", to=outbox)
    with pytest.raises(Misuse):
        await bus.emit("x", 1)
    off()
    await bus.emit("x", 2)
    assert heard == [2]


def test_a_refused_emit_of_a_thread_uses_nobody_up():
    bus = EventBus("plain")
    heard = []

    async def later(_data): ...

    bus.once("x", heard.append, priority=1)
    off = bus.on("x", later)
    for emit in (bus.sync.emit, bus.emit_nowait):
        with pytest.raises(Misuse):
            emit("x", 1)
    off()
    bus.sync.emit("x", 2)
    assert heard == [2]


async def test_an_emit_that_is_too_deep_uses_nobody_up():
    bus = EventBus("deep", max_depth=1)
    heard = []
    bus.once("inner", heard.append, inline=True)

    async def outer(_data):
        await bus.emit("inner", 1)

    bus.on("outer", outer)
    assert isinstance((await bus.emit("outer"))[0].error, Misuse)
    await bus.emit("inner", 2)
    assert heard == [2]


async def test_turns_stay_turns_when_middleware_comes():
    running = most = 0
    gate = anyio.Event()

    async def handler(_data):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    async with EventBus("turns") as bus:
        bus.on("x", handler, serial=True)
        bus.emit_nowait("x")
        await until(lambda: running)

        @bus.use
        async def through(_delivery, proceed):
            return await proceed()

        second = bus.emit_nowait("x")
        await until(lambda: bus._registry.subscriptions[0].serial._waiting)
        gate.set()
        await second
    assert most == 1


async def test_a_hook_that_fails_loses_nothing(caplog):
    told = []

    def on_error(outcome):
        told.append(outcome.label)
        raise RuntimeError("hook")

    async def fails(_data):
        raise ValueError

    async with EventBus("hooks", on_error=on_error) as bus:
        bus.on("x", fails)
        bus.on("x", fails)
        with caplog.at_level(logging.ERROR, logger="penstock.events"):
            bus.emit_nowait("x")
            await bus.drain()
            await anyio.lowlevel.checkpoint()
    assert len(told) == 2
    assert "on_error failed" in caplog.text


async def test_a_drop_hook_that_fails_does_not_lose_the_new_event():
    gate = anyio.Event()
    seen = []

    def on_drop(_event, _data):
        raise RuntimeError("hook")

    async def handler(data):
        seen.append(data)
        await gate.wait()

    async with EventBus("drops", queue=1, overflow="drop_oldest", on_drop=on_drop) as bus:
        bus.on("x", handler)
        bus.emit_nowait("x", 0)
        await until(lambda: seen)
        bus.emit_nowait("x", 1)
        await until(lambda: not bus._home._queue.qsize())
        bus.emit_nowait("x", 2)
        bus.emit_nowait("x", 3)
        gate.set()
    assert seen == [0, 1, 3]


def test_a_thread_is_told_when_the_owners_loop_is_gone():
    bus = EventBus("gone")
    bus.on("x", lambda _data: None, inline=True)
    loop = asyncio.new_event_loop()

    async def main():
        await bus.__aenter__()

    loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    for emit in (bus.sync.emit, bus.emit_nowait):
        with pytest.raises(Closed, match="loop that owned it is gone"):
            emit("x")

    async def again():
        async with bus:
            return await bus.emit("x")

    assert isinstance(asyncio.run(again()), Outcomes)


def test_closing_who_awaits_an_emit():
    bus = EventBus("closed")
    cancelled = []

    async def main():
        async def waits(_data):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        bus.on("x", waits)

        async def emits():
            await bus.emit("x")

        coroutine = emits()
        coroutine.send(None)
        coroutine.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert cancelled == [1]


async def test_many_plain_handlers_that_emit_to_plain_handlers_and_wait():
    async with EventBus("nested threads") as bus:
        bus.on("outer", lambda number: bus.sync.emit("inner", number).results[0])
        bus.on("inner", lambda number: number)
        with anyio.fail_after(30):
            emissions = [bus.emit_nowait("outer", number) for number in range(120)]
            outcomes = [await emission for emission in emissions]
        assert [each.results for each in outcomes] == [[number] for number in range(120)]


async def test_a_circle_of_plain_handlers_in_threads_ends():
    async with EventBus("circle", max_depth=8) as bus:
        bus.on("x", lambda number: bus.sync.emit("x", number + 1).raise_if_failed())
        with anyio.fail_after(30):
            error = (await bus.emit("x", 1))[0].error
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, Misuse)
    assert "in a circle" in str(error)


class Grave(BaseException):
    """Neither an Exception nor what ends a program."""


def test_a_grave_error_after_the_first_step_is_told_once(caplog):
    async def main():
        bus = EventBus("grave")

        async def handler(_data):
            await asyncio.sleep(0)
            raise Grave

        bus.on("x", handler)
        outcomes = await bus.emit("x")
        await asyncio.sleep(0)
        return [type(error) for error in outcomes.errors]

    assert asyncio.run(main()) == [Grave]
    gc.collect()
    assert not caplog.records


async def test_order_holds_where_the_queue_is_full():
    seen = []

    async def handler(data):
        seen.append(data)
        await anyio.lowlevel.checkpoint()

    async with EventBus("bound", queue=1) as bus:
        bus.on("x", handler, serial=True)

        async def emit(number):
            await bus.emit("x", number)

        for number in range(3):
            with suppress(Full):
                bus.emit_nowait("x", -number)
        before = len(bus._home._queue)
        assert before
        async with anyio.create_task_group() as group:
            for number in range(1, 10):
                begun = bus._home._waiting_here + len(seen)
                group.start_soon(emit, number)
                await until(lambda begun=begun: bus._home._waiting_here + len(seen) != begun)
    assert [number for number in seen if number > 0] == list(range(1, 10))


async def test_leaving_the_block_does_not_wait_for_threads_that_go_on():
    stop = threading.Event()
    refused = threading.Event()

    async def handler(_data):
        await anyio.sleep(0.002)

    def produce():
        while not stop.is_set():
            try:
                bus.emit_nowait("x")
            except (Closed, Misuse):
                refused.set()
                return

    bus = EventBus("leaving", queue=8)
    bus.on("x", handler, serial=True)
    thread = threading.Thread(target=produce)
    try:
        with anyio.fail_after(20):
            async with bus:
                thread.start()
                await until(lambda: bus.statistics().emitted > 20)
        assert not stop.is_set()
    finally:
        stop.set()
        await anyio.to_thread.run_sync(thread.join)
    assert refused.is_set()


async def test_a_weak_handler_that_goes_while_a_route_is_looked_up_makes_nobody_deaf():
    bus = EventBus("weak")
    heard = []

    class Weak:
        def __init__(self):
            self.itself = self  # for the collector alone

        def hears(self, data): ...

    thresholds = gc.get_threshold()
    try:
        for threshold in range(1, 60):
            weak = Weak()
            bus.on("user.*", weak.hears, weak=True, inline=True)
            off = bus.on("user.*", heard.append, inline=True)
            del weak
            heard.clear()
            gc.set_threshold(threshold)
            await bus.emit("user.created", 1)
            await bus.emit("user.created", 2)
            gc.set_threshold(*thresholds)
            assert heard == [1, 2], threshold
            off()
    finally:
        gc.set_threshold(*thresholds)


def test_leaving_the_block_is_cancelled_twice():
    ended = []

    async def main():
        bus = EventBus("twice")

        async def handler(_data):
            try:
                await asyncio.sleep(30)
            finally:
                for _ in range(5):
                    await asyncio.sleep(0.005)
                ended.append(1)

        bus.on("x", handler)

        async def owner():
            async with bus:
                bus.emit_nowait("x")
                await asyncio.sleep(30)

        task = asyncio.ensure_future(owner())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]
        assert not bus.health()
        with pytest.raises(Misuse, match="not open"):
            bus.emit_nowait("x")

    asyncio.run(main())


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_leaving_the_block_does_not_wait_for_a_loop_that_goes_on(other: str):
    bus = EventBus("leaving")
    stop = threading.Event()

    async def handler(_data):
        await anyio.lowlevel.checkpoint()

    async def elsewhere():
        # Once the bus is left, it is free for this loop.
        while not stop.is_set():
            with suppress(Closed, Misuse):
                await bus.emit("x")

    bus.on("x", handler)
    async with anyio.create_task_group() as group:
        try:
            with anyio.fail_after(20):
                async with bus:
                    group.start_soon(
                        anyio.to_thread.run_sync, lambda: anyio.run(elsewhere, backend=other)
                    )
                    await until(lambda: bus.statistics().emitted > 20)
        finally:
            stop.set()
