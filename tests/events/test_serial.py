"""One event at a time, and handlers that wait for each other."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock import EventBus
from penstock.errors import Misuse
from penstock.events import Dropped

from .recorder import hint_of, until


async def test_one_event_at_a_time_in_order():
    running = most = 0
    seen = []

    async def handler(data):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001)
        seen.append(data)
        running -= 1

    async with EventBus("serial") as bus:
        bus.on("x", handler, serial=True)
        for number in range(20):
            bus.emit_nowait("x", number)
    assert seen == list(range(20))
    assert most == 1


async def test_without_it_they_run_beside_each_other():
    running = 0
    all_there = anyio.Event()

    async def handler(_data):
        nonlocal running
        running += 1
        if running == 5:
            all_there.set()
        await all_there.wait()

    with anyio.fail_after(5):
        async with EventBus("parallel") as bus:
            bus.on("x", handler)
            for _ in range(5):
                bus.emit_nowait("x")
            await bus.drain()
    assert running == 5


async def test_plain_functions_in_threads_one_at_a_time():
    seen = []

    def handler(data):
        seen.append(("begins", data))
        seen.append(("ends", data))

    async with EventBus("threads") as bus:
        bus.on("x", handler, serial=True)
        for number in range(20):
            bus.emit_nowait("x", number)
    assert seen == [(what, number) for number in range(20) for what in ("begins", "ends")]


@pytest.mark.parametrize(
    ("overflow", "kept", "lost"),
    [
        ("block", [0, 1, 2], [3, 4]),
        ("error", [0, 1, 2], [3, 4]),
        ("drop_newest", [0, 1, 2], [3, 4]),
        ("drop_oldest", [0, 3, 4], [1, 2]),
    ],
)
async def test_a_backlog_that_is_full(overflow, kept, lost):
    gate = anyio.Event()
    seen = []

    async def handler(data):
        seen.append(data)
        await gate.wait()

    async with EventBus("backlog", overflow=overflow) as bus:
        bus.on("x", handler, serial=True, backlog=2)
        emissions = [bus.emit_nowait("x", number) for number in range(5)]
        await until(lambda: bus.statistics().dropped == 2)
        gate.set()
        outcomes = [await emission for emission in emissions]
        assert seen == kept
        dropped = [number for number, each in enumerate(outcomes) if each.errors]
        assert dropped == lost
        assert all(isinstance(outcomes[number][0].error, Dropped) for number in lost)
        assert bus.statistics().dropped == 2


async def test_no_backlog_at_all():
    gate = anyio.Event()
    async with EventBus("none") as bus:
        bus.on("x", lambda _data: gate.wait(), inline=True, serial=True, backlog=0)
        first = bus.emit_nowait("x")
        second = bus.emit_nowait("x")
        assert isinstance((await second)[0].error, Dropped)
        gate.set()
        assert (await first).is_ok


async def test_one_that_is_cancelled_while_it_waits_leaves_the_turn_to_the_next():
    gate = anyio.Event()
    seen = []

    async def handler(data):
        seen.append(data)
        await gate.wait()

    bus = EventBus("cancelled")
    serial = bus.on("x", handler, serial=True).serial
    assert serial is not None
    async with anyio.create_task_group() as group:

        async def emit(data, scope):
            with scope:
                await bus.emit("x", data)

        scopes = [anyio.CancelScope() for _ in range(4)]
        for number, scope in enumerate(scopes):
            group.start_soon(emit, number, scope)
            await until(lambda wanted=number: len(seen) + len(serial._waiting) > wanted)
        scopes[1].cancel()
        scopes[0].cancel()
        await until(lambda: len(seen) >= 2)
        assert seen == [0, 2]
        # Cancelled in the very turn in which it is granted.
        gate.set()
    assert seen == [0, 2, 3]


async def test_a_handler_that_awaits_what_reaches_itself():
    bus = EventBus("itself")
    others = []

    async def handler(data):
        if data < 3:
            await bus.emit("x", data + 1)

    handler.__qualname__ = "handler"
    bus.on("x", handler, serial=True)
    bus.on("x", others.append, inline=True)
    with anyio.fail_after(5):
        [outcome, _] = await bus.emit("x", 1)
    assert isinstance(outcome.error, Misuse)
    assert "handler → handler" in str(outcome.error)
    assert "emit_nowait" in hint_of(outcome.error)
    # It was refused before anybody heard of it.
    assert others == [1]


async def test_a_circle_of_two():
    bus = EventBus("circle")

    async def first(data):
        (await bus.emit("y", data)).raise_if_failed()

    async def second(data):
        (await bus.emit("x", data)).raise_if_failed()

    first.__qualname__, second.__qualname__ = "first", "second"
    bus.on("x", first, serial=True)
    bus.on("y", second, serial=True)
    with anyio.fail_after(5):
        outcomes = await bus.emit("x", 1)
    error = outcomes[0].error
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, Misuse)
    assert "first → second → first" in str(error)


async def test_two_that_wait_for_each_other_crosswise():
    """Each has its own turn already when it wants the other's."""
    bus = EventBus("crosswise")
    both = anyio.Event()
    here = 0

    async def meet():
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await both.wait()

    async def first(data):
        if data == "outer":
            await meet()
            await bus.emit("y", "inner")

    async def second(data):
        if data == "outer":
            await meet()
            await bus.emit("x", "inner")

    bus.on("x", first, serial=True)
    bus.on("y", second, serial=True)
    outcomes = {}
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def emit(name):
                outcomes[name] = await bus.emit(name, "outer")

            group.start_soon(emit, "x")
            group.start_soon(emit, "y")
    errors = [each.error for name in "xy" for each in outcomes[name] if each.error]
    assert len(errors) == 1
    assert isinstance(errors[0], Misuse)
    assert "would wait for itself" in str(errors[0])


async def test_emit_nowait_within_its_own_turn_waits_for_the_end_of_it():
    seen = []

    async def handler(data):
        seen.append(("begins", data))
        if data < 3:
            bus.emit_nowait("x", data + 1)
        await anyio.lowlevel.checkpoint()
        seen.append(("ends", data))

    async with EventBus("nowait") as bus:
        bus.on("x", handler, serial=True)
        with anyio.fail_after(5):
            await bus.emit_nowait("x", 1)
            await bus.drain()
    assert seen == [(what, number) for number in (1, 2, 3) for what in ("begins", "ends")]


async def test_awaiting_that_emission_within_the_turn_is_refused():
    async with EventBus("awaited") as bus:

        async def handler(data):
            if data == 1:
                await bus.emit_nowait("x", 2)

        bus.on("x", handler, serial=True)
        with anyio.fail_after(5):
            [outcome] = await bus.emit("x", 1)
        assert isinstance(outcome.error, Misuse)


async def test_a_circle_through_a_child_task_and_through_a_thread():
    async with EventBus("through") as bus:

        async def by_task(data):
            if data == 1:
                async with anyio.create_task_group() as group:

                    async def emit():
                        await bus.emit("task", 2)

                    group.start_soon(emit)

        def by_thread(data):
            if data == 1:
                bus.sync.emit("thread", 2)

        bus.on("task", by_task, serial=True)
        bus.on("thread", by_thread, serial=True)
        with anyio.fail_after(5):
            [outcome] = await bus.emit("task", 1)
            assert isinstance(outcome.error, ExceptionGroup)
            assert isinstance(outcome.error.exceptions[0], Misuse)
            [outcome] = await bus.emit("thread", 1)
            assert isinstance(outcome.error, Misuse)


async def test_one_that_is_cancelled_in_the_step_in_which_it_is_granted_passes_the_turn_on():
    bus = EventBus("granted")
    gate = anyio.Event()
    seen = []
    second = anyio.CancelScope()

    async def handler(data):
        seen.append(data)
        if data == 1:
            await gate.wait()
            second.cancel()  # and then its turn comes

    serial = bus.on("x", handler, serial=True).serial
    assert serial is not None
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def emit(data, scope):
                with scope:
                    await bus.emit("x", data)

            for data, scope in ((1, anyio.CancelScope()), (2, second), (3, anyio.CancelScope())):
                group.start_soon(emit, data, scope)
                await until(lambda wanted=data: len(seen) + len(serial._waiting) == wanted)
            gate.set()
    assert seen == [1, 3]
    assert serial.holder is None
