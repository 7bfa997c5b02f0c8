"""How a handler is called: once, weakly, in a thread, under a policy, through middleware."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref

import anyio
import anyio.lowlevel
import pytest

from penstock import EventBus, Policy, Retry
from penstock.events import Delivery, HandlerTimeout
from penstock.resilience import AttemptTimeout

from .recorder import Recorder, until


async def test_once():
    bus = EventBus("once")
    recorder = Recorder()
    off = bus.once("x", recorder.handler("a", suspends=True))
    bus.on("x", recorder.handler("b"))
    for number in range(3):
        await bus.emit("x", number)
    assert recorder.seen == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]
    assert not off.is_active
    assert bus.statistics().handled == 4


async def test_once_for_a_pattern_that_several_emits_reach_at_once():
    bus = EventBus("once")
    recorder = Recorder()
    bus.once("**", recorder.handler("a", suspends=True))
    async with anyio.create_task_group() as group:

        async def emit(name):
            await bus.emit(name)

        for number in range(5):
            group.start_soon(emit, f"n.{number}")
    assert len(recorder.seen) == 1


async def test_as_decorators():
    bus = EventBus("decorators")
    seen = []

    @bus.on("x", priority=2)
    async def first(data):
        seen.append(("first", data))

    @bus.once("x", priority=1)
    async def second(data):
        seen.append(("second", data))

    await bus.emit("x", 1)
    await first(2)
    await bus.emit("x", 3)
    assert seen == [("first", 1), ("second", 1), ("first", 2), ("first", 3)]


async def test_weak_handlers_go_with_their_object_and_strong_ones_do_not():
    bus = EventBus("weak")
    seen = []

    class Hears:
        def __init__(self, name):
            self.name = name

        async def method(self, data):
            seen.append((self.name, data))

    async def function(data):
        seen.append(("function", data))

    weak, strong = Hears("weak"), Hears("strong")
    bus.on("x", weak.method, weak=True)
    bus.on("x", strong.method)
    bus.on("x", function, weak=True)
    reference = weakref.ref(weak)
    await bus.emit("x", 1)
    assert [name for name, _ in seen] == ["weak", "strong", "function"]
    del weak, strong, function
    gc.collect()
    assert reference() is None
    seen.clear()
    outcomes = await bus.emit("x", 2)
    assert seen == [("strong", 2)]
    assert len(outcomes) == 1
    assert len(bus.statistics().handlers) == 1


async def test_a_weak_handler_that_was_unsubscribed_goes_quietly():
    bus = EventBus("weak")

    class Hears:
        def method(self, data): ...

    hears = Hears()
    off = bus.on("x", hears.method, weak=True)
    off()
    del hears
    gc.collect()


async def test_a_subscription_does_not_keep_its_bus():
    bus = EventBus("kept")
    off = bus.on("x", print)
    reference = weakref.ref(bus)
    del bus
    gc.collect()
    assert reference() is None
    off()


async def test_plain_functions_run_in_threads_with_the_emitters_context():
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("v", default="unset")
    bus = EventBus("threads")

    def handler(_data):
        seen = threading.get_ident(), variable.get()
        variable.set("handler")
        return seen

    bus.on("x", handler)
    bus.on("x", handler, inline=True)
    variable.set("emitter")
    [away, here] = (await bus.emit("x")).results
    assert away[0] != threading.get_ident()
    assert here[0] == threading.get_ident()
    assert away[1] == here[1] == "emitter"
    assert variable.get() == "emitter"


async def test_plain_functions_do_not_stop_the_loop_and_run_beside_each_other():
    bus = EventBus("beside")
    meeting = threading.Barrier(3, timeout=20)
    for _ in range(3):
        bus.on("x", lambda _data: meeting.wait())
    assert (await bus.emit("x")).is_ok


async def test_a_thread_that_takes_too_long_is_left_behind():
    bus = EventBus("left")
    may_end = threading.Event()
    ended = threading.Event()

    def slow(_data):
        may_end.wait(20)
        ended.set()

    bus.on("x", slow, timeout=0.02)
    [outcome] = await bus.emit("x")
    assert isinstance(outcome.error, HandlerTimeout)
    assert not ended.is_set()
    may_end.set()
    await anyio.to_thread.run_sync(ended.wait)


async def test_retry_by_policy_for_async_and_plain_functions():
    bus = EventBus("retry")
    calls = {"async": 0, "plain": 0}

    async def flaky(_data):
        calls["async"] += 1
        if calls["async"] < 3:
            raise ConnectionError
        return "async"

    def flaky_plain(_data):
        calls["plain"] += 1
        if calls["plain"] < 3:
            raise ConnectionError
        return "plain"

    policy = Policy("p", Retry(attempts=3, delay=0.0))
    bus.on("x", flaky, policy=policy)
    bus.on("x", flaky_plain, policy=policy)
    assert (await bus.emit("x")).results == ["async", "plain"]
    assert calls == {"async": 3, "plain": 3}
    assert bus.statistics().failed == 0


async def test_the_timeout_holds_for_all_attempts():
    from penstock import Timeout

    bus = EventBus("both")
    attempts = []

    async def slow(_data):
        attempts.append(1)
        await anyio.sleep(30)

    bus.on(
        "x", slow, policy=Policy("p", Retry(attempts=100, delay=0.0), Timeout(0.02)), timeout=0.1
    )
    bus.on("x", slow, policy=Policy("q", Timeout(0.02)))
    [whole, one] = await bus.emit("x")
    assert isinstance(whole.error, HandlerTimeout)
    assert isinstance(one.error, AttemptTimeout)
    assert len(attempts) > 2


async def test_middleware_around_every_call():
    bus = EventBus("middleware")
    seen = []

    class Created:
        pass

    async def outer(delivery, proceed):
        seen.append(("outer", delivery.event, delivery.data, delivery.handler))
        return ["outer", await proceed()]

    @bus.use
    async def inner(delivery, proceed):
        seen.append(("inner", delivery.event))
        return ["inner", await proceed()]

    async def handler(_data):
        return "async"

    def plain(_data, name):
        return name

    bus.on("x", handler)
    bus.on("x", plain)
    bus.on("x", plain, inline=True)
    bus.on(Created, handler)
    await bus.emit("x", 1)
    seen.clear()
    bus.use(outer)
    outcomes = await bus.emit("x", 1)
    assert outcomes.results == [["inner", ["outer", each]] for each in ("async", "x", "x")]
    assert seen[:2] == [("inner", "x"), ("outer", "x", 1, handler)]
    assert isinstance(Delivery("x", 1, handler), Delivery)
    seen.clear()
    event = Created()
    await bus.emit(event)
    assert seen == [("inner", Created), ("outer", Created, event, handler)]
    # What was counted before stays counted.
    assert bus.statistics().handled == 7


async def test_middleware_that_fails_refuses_or_does_not_go_on():
    bus = EventBus("middleware")
    seen = []

    @bus.use
    async def gate(delivery, proceed):
        if delivery.data == "refused":
            raise PermissionError
        if delivery.data == "skipped":
            return "skipped"
        return await proceed()

    async def handler(data):
        seen.append(data)

    bus.on("x", handler)
    assert isinstance((await bus.emit("x", "refused"))[0].error, PermissionError)
    assert (await bus.emit("x", "skipped")).results == ["skipped"]
    assert (await bus.emit("x", "passed")).is_ok
    assert seen == ["passed"]


async def test_buses_do_not_wait_for_each_other():
    """bubus has one lock for all of them."""
    buses = [EventBus(f"bus {number}") for number in range(5)]
    there = 0
    all_there = anyio.Event()

    async def handler(_data):
        nonlocal there
        there += 1
        if there == len(buses):
            all_there.set()
        await all_there.wait()

    for bus in buses:
        bus.on("x", handler, serial=True)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def emit(bus):
                await bus.emit("x")

            for bus in buses:
                group.start_soon(emit, bus)
    assert there == 5


async def test_statistics():
    async with EventBus("statistics") as bus:
        gate = anyio.Event()

        async def waits(_data):
            await gate.wait()

        async def fails(_data):
            raise ValueError

        waits.__qualname__, fails.__qualname__ = "waits", "fails"
        bus.on("a.*", waits)
        off = bus.on("a.b", fails)
        emission = bus.emit_nowait("a.b")
        await until(lambda: bus.statistics().failed)
        found = bus.statistics()
        assert (found.emitted, found.handled, found.failed) == (1, 0, 1)
        assert (found.under_way, found.waiting, found.dropped) == (1, 0, 0)
        assert [(each.handler, each.event, each.failed) for each in found.handlers] == [
            ("waits", "a.*", 0),
            ("fails", "a.b", 1),
        ]
        gate.set()
        await emission
        off()
        found = bus.statistics()
        assert (found.handled, found.failed, found.under_way) == (1, 1, 0)
        assert len(found.handlers) == 1


@pytest.mark.parametrize("suspends", [False, True])
async def test_an_event_is_let_go_of_when_it_has_settled(suspends: bool):
    class Large:
        pass

    async with EventBus("let go") as bus:

        async def handler(_data):
            if suspends:
                await anyio.lowlevel.checkpoint()

        bus.on("x", handler)
        bus.on("x", lambda _data: None, inline=True)
        bus.on(Large, handler)
        kept = []
        for _ in range(3):
            event = Large()
            reference = weakref.ref(event)
            kept.append(await bus.emit("x", event))
            kept.append(await bus.emit(event))
            kept.append(bus.emit_nowait("x", event))
            await kept[-1]
            await bus.drain()
            del event
            gc.collect()
            assert reference() is None
