"""Cancelling who emits, who handles, and who waits."""

from __future__ import annotations

import asyncio
import gc

import anyio
import anyio.lowlevel
import pytest

from penstock import EventBus
from penstock.events import HandlerTimeout
from tests.loops import LOOPS, NATIVE

native = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(LOOPS[name], id=name) for name in NATIVE]
)


async def test_cancelling_the_emitter_cancels_its_handlers_and_waits_for_them():
    bus = EventBus("cancelled")
    begun = anyio.Event()
    ended = []

    def handler(name):
        async def handle(_data):
            begun.set()
            try:
                await anyio.sleep(30)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                ended.append(name)

        return handle

    async def quick(_data):
        return None

    bus.on("x", handler("a"))
    bus.on("x", quick)
    bus.on("x", handler("b"))
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel():
                await begun.wait()
                scope.cancel()

            group.start_soon(cancel)
            await bus.emit("x")
            pytest.fail("it was to be cancelled")
    assert scope.cancelled_caught
    assert sorted(ended) == ["a", "b"]
    statistics = bus.statistics()
    assert (statistics.cancelled, statistics.failed) == (2, 0)


async def test_a_timeout_around_an_emit_is_a_timeout():
    bus = EventBus("around")
    bus.on("x", lambda _data: anyio.sleep(30), inline=True)
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await bus.emit("x")
    # And nothing is left of it.
    await anyio.sleep(0.01)


@native
async def test_cancelling_the_emitters_task():
    bus = EventBus("task")
    ended = []

    async def stubborn(_data):
        for _ in range(3):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                ended.append("asked")
        ended.append("ended")

    bus.on("x", stubborn)
    task = asyncio.ensure_future(bus.emit("x"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # again, while it waits for its handler
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["asked", "ended"]


@native
async def test_an_emission_cancelled_before_it_began_tells_nobody():
    bus = EventBus("early")
    heard = []
    bus.on("x", heard.append, inline=True)
    task = asyncio.ensure_future(bus.emit("x", 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == []


@native
async def test_a_handler_cancelled_from_elsewhere_is_an_outcome_and_not_the_emitters_end():
    bus = EventBus("elsewhere")
    tasks = []

    async def victim(_data):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(30)

    async def culprit(_data):
        await asyncio.sleep(0.001)
        tasks[0].cancel()
        return "done"

    bus.on("x", victim)
    bus.on("x", culprit)
    outcomes = await bus.emit("x")
    assert [each.was_cancelled for each in outcomes] == [True, False]
    assert not outcomes.is_ok
    outcomes.raise_if_failed()  # a cancellation is no failure
    assert tasks[0].cancelled()
    assert asyncio.current_task().cancelling() == 0


@native
async def test_a_handler_that_awaits_what_was_cancelled_in_its_first_step():
    bus = EventBus("future")

    async def handler(_data):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    bus.on("x", handler)
    [outcome] = await bus.emit("x")
    assert outcome.was_cancelled


async def test_cancelling_who_waits_for_emit_nowait_leaves_the_handlers():
    async with EventBus("nowait") as bus:
        may_end = anyio.Event()
        ended = []

        async def handler(_data):
            await may_end.wait()
            ended.append(1)

        bus.on("x", handler)
        emission = bus.emit_nowait("x")
        with anyio.move_on_after(0.01):
            await emission
        assert ended == []
        may_end.set()
        await emission
        assert ended == [1]


async def test_a_handlers_own_timeout_is_its_outcome():
    bus = EventBus("timeout")
    cancelled = []

    async def slow(_data):
        try:
            await anyio.sleep(30)
        except BaseException:
            cancelled.append(1)
            raise

    async def quick(_data):
        return "quick"

    bus.on("x", slow, timeout=0.01)
    bus.on("x", quick, timeout=30)
    outcomes = await bus.emit("x")
    assert isinstance(outcomes[0].error, HandlerTimeout)
    assert isinstance(outcomes[0].error, TimeoutError)
    assert "slow took more than 0.01 s" in str(outcomes[0].error)
    assert outcomes[1].result == "quick"
    assert cancelled == [1]


async def test_a_cancellation_from_outside_is_not_taken_for_the_timeout():
    bus = EventBus("outside")
    errors = []

    async def slow(_data):
        try:
            await anyio.sleep(30)
        except BaseException as error:
            errors.append(error)
            raise

    bus.on("x", slow, timeout=20)
    with anyio.move_on_after(0.01) as scope:
        await bus.emit("x")
    assert scope.cancelled_caught
    assert isinstance(errors[0], anyio.get_cancelled_exc_class())


async def test_leaving_the_block_by_cancellation_ends_what_goes_on():
    ended = []

    async def handler(_data):
        try:
            await anyio.sleep(30)
        finally:
            ended.append(1)

    with anyio.move_on_after(0.02):
        async with EventBus("left") as bus:
            bus.on("x", handler)
            bus.emit_nowait("x")
            bus.emit_nowait("x")
            await anyio.sleep(30)
    assert ended == [1, 1]


async def test_nothing_is_left_for_the_collector_to_complain_of():
    # Warnings are errors here, and a task that nobody looked at would log.
    for _ in range(3):
        bus = EventBus("left behind")

        async def fails(_data):
            await anyio.lowlevel.checkpoint()
            raise ValueError

        bus.on("x", fails)
        outcomes = await bus.emit("x")
        assert len(outcomes.errors) == 1
        del bus, outcomes
    gc.collect()


@native
async def test_a_loop_that_is_closed_while_a_carrier_is_idle(caplog):
    def run() -> None:
        loop = asyncio.new_event_loop()
        bus = EventBus("closed")

        async def handler(_data):
            await asyncio.sleep(0)

        bus.on("x", handler)

        async def main():
            await bus.emit("x")

        loop.run_until_complete(main())
        loop.close()

    await asyncio.to_thread(run)
    gc.collect()
    assert not caplog.records
