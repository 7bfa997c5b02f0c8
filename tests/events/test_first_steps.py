"""What binds to a task in a handler's first step finds the same task afterwards.

asyncio and uvloop: there the first step is made by hand.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import anyio
import anyio.lowlevel
import pytest
import sniffio

from penstock import EventBus
from tests.loops import LOOPS, NATIVE

pytestmark = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(
            (backend, {**options, "debug": debug}), id=f"{name}{'-debug' if debug else ''}"
        )
        for name in NATIVE
        for backend, options in [LOOPS[name]]
        for debug in (False, True)
    ],
    indirect=False,
)


async def outcome_of(handler, *, beside: int = 0):
    """Of one handler, between others that suspend or do not."""
    bus = EventBus("first steps")

    async def quick(_data):
        return None

    async def suspends(_data):
        await asyncio.sleep(0)

    for _ in range(beside):
        bus.on("x", quick)
        bus.on("x", suspends)
    bus.on("x", handler)
    for _ in range(beside):
        bus.on("x", suspends)
        bus.on("x", quick)
    # Twice: the first time the carrier is new, afterwards one has been kept.
    await bus.emit("x")
    await asyncio.sleep(0)
    outcomes = await bus.emit("x")
    assert sum(each.is_ok for each in outcomes) >= 4 * beside
    return outcomes[2 * beside]


@pytest.fixture(params=[0, 2], ids=["alone", "between others"])
def beside(request):
    return request.param


async def test_current_task_is_the_same_before_and_after(beside):
    async def handler(_data):
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is asyncio.current_task() and before is not emitter

    emitter = asyncio.current_task()
    assert (await outcome_of(handler, beside=beside)).result is True
    assert asyncio.current_task() is emitter


async def test_the_emitters_task_is_current_again_whatever_happens():
    bus = EventBus("again")

    async def fails(_data):
        raise ValueError

    async def waits(_data):
        await asyncio.sleep(0)

    me = asyncio.current_task()
    for handler in (fails, waits, fails):
        bus.on("x", handler)
    await bus.emit("x")
    assert asyncio.current_task() is me
    async with bus:
        bus.emit_nowait("x").close()
        assert asyncio.current_task() is me
        loop = asyncio.get_running_loop()
        seen = asyncio.Event()

        def outside_of_any_task():
            assert asyncio.current_task() is None
            bus.emit_nowait("x").close()
            assert asyncio.current_task() is None
            seen.set()

        loop.call_soon(outside_of_any_task)
        await seen.wait()


async def test_asyncio_timeout_that_passes(beside):
    async def handler(_data):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(30)
        except TimeoutError:
            return "timed out"

    assert (await outcome_of(handler, beside=beside)).result == "timed out"


async def test_asyncio_timeout_that_has_passed_at_once(beside):
    async def handler(_data):
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(30)
        except TimeoutError:
            return "timed out"

    assert (await outcome_of(handler, beside=beside)).result == "timed out"


async def test_asyncio_timeout_that_does_not_pass(beside):
    async def handler(_data):
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
            return "in time"

    assert (await outcome_of(handler, beside=beside)).result == "in time"


async def test_asyncio_task_group(beside):
    async def handler(_data):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, "child"))
        return task.result()

    assert (await outcome_of(handler, beside=beside)).result == "child"


async def test_asyncio_task_group_whose_child_fails(beside):
    async def fails():
        await asyncio.sleep(0)
        raise KeyError("child")

    async def handler(_data):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(30)

    outcome = await outcome_of(handler, beside=beside)
    assert isinstance(outcome.error, ExceptionGroup)
    assert isinstance(outcome.error.exceptions[0], KeyError)


async def test_anyio_scopes(beside):
    async def handler(_data):
        with anyio.move_on_after(0.01) as moved:
            await anyio.sleep(30)
        try:
            with anyio.fail_after(0.01):
                await anyio.sleep(30)
        except TimeoutError:
            return moved.cancelled_caught

    assert (await outcome_of(handler, beside=beside)).result is True


async def test_an_anyio_scope_that_is_cancelled_before_the_next_turn(beside):
    async def handler(_data):
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await anyio.sleep(30)
        return scope.cancelled_caught

    assert (await outcome_of(handler, beside=beside)).result is True


async def test_an_anyio_scope_that_is_cancelled_in_the_first_step(beside):
    async def handler(_data):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(30)
        return scope.cancelled_caught

    assert (await outcome_of(handler, beside=beside)).result is True


async def test_anyio_task_group(beside):
    async def handler(_data):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            group.start_soon(anyio.sleep, 30)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        return "left"

    assert (await outcome_of(handler, beside=beside)).result == "left"


@pytest.mark.parametrize("catches", [False, True])
async def test_a_task_that_cancels_itself(beside, catches):
    async def handler(_data):
        asyncio.current_task().cancel("enough")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if not catches:
                raise
            return "caught"

    outcome = await outcome_of(handler, beside=beside)
    assert outcome.was_cancelled != catches
    assert outcome.result == ("caught" if catches else None)


async def test_a_task_that_cancels_itself_and_returns(beside):
    async def handler(_data):
        asyncio.current_task().cancel()
        return "too late"

    # As a task of its own would be.
    assert (await outcome_of(handler, beside=beside)).was_cancelled


async def test_what_it_waits_for_is_cancelled_with_it(beside):
    async def handler(_data):
        inner = asyncio.ensure_future(asyncio.sleep(30))
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        try:
            await inner
        finally:
            inners.append(inner)

    inners: list[asyncio.Future] = []
    outcome = await outcome_of(handler, beside=beside)
    assert outcome.was_cancelled
    assert all(inner.cancelled() for inner in inners)
    assert len(inners) == 2


async def test_cancelled_while_it_is_handed_over(beside):
    """By a handler that is started later, in the same turn."""
    bus = EventBus("handed over")
    tasks: list[asyncio.Task] = []

    async def first(_data):
        tasks.append(asyncio.current_task())
        future = asyncio.get_running_loop().create_future()
        try:
            await future
        except asyncio.CancelledError:
            return f"future cancelled: {future.cancelled()}"

    async def second(_data):
        tasks[-1].cancel()

    bus.on("x", first)
    bus.on("x", second)
    for _ in range(3):
        outcomes = await bus.emit("x")
        assert outcomes.results == ["future cancelled: True", None]


async def test_a_turn_of_the_loop_is_one_turn():
    """`sleep(0)` in a first step takes as many turns as in a task."""
    bus = EventBus("turns")
    turns = []

    async def handler(_data):
        await asyncio.sleep(0)
        turns.append(count)

    bus.on("x", handler)
    await bus.emit("x")
    await asyncio.sleep(0)
    count = 0

    def turn():
        nonlocal count
        count += 1
        if count < 10:
            asyncio.get_running_loop().call_soon(turn)

    asyncio.get_running_loop().call_soon(turn)
    await bus.emit("x")
    assert turns[-1] == 1


async def test_each_handler_has_a_context_of_its_own():
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    bus = EventBus("contexts")
    seen = []

    def handler(name, suspends):
        async def handle(_data):
            seen.append(variable.get())
            variable.set(name)
            if suspends:
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            return variable.get()

        return handle

    def inline(_data):
        seen.append(variable.get())
        variable.set("inline")

    for number in range(3):
        bus.on("x", handler(f"suspends {number}", True))
        bus.on("x", handler(f"quick {number}", False))
        bus.on("x", inline, inline=True)
    variable.set("emitter")
    outcomes = await bus.emit("x")
    assert seen == ["emitter"] * 9
    assert variable.get() == "emitter"
    expected = [[f"suspends {number}", f"quick {number}", None] for number in range(3)]
    assert outcomes.results == [each for three in expected for each in three]


async def test_sniffio_and_anyio_know_where_they_are(beside):
    async def handler(_data):
        before = sniffio.current_async_library()
        await anyio.lowlevel.checkpoint()
        return before, sniffio.current_async_library(), anyio.get_current_task().id

    outcome = await outcome_of(handler, beside=beside)
    assert outcome.result[:2] == ("asyncio", "asyncio")
    assert outcome.result[2] != anyio.get_current_task().id


async def test_an_async_generator_in_a_first_step(beside):
    async def numbers():
        try:
            yield 1
            await asyncio.sleep(0)
            yield 2
        finally:
            await asyncio.sleep(0)

    async def handler(_data):
        return [number async for number in numbers()]

    assert (await outcome_of(handler, beside=beside)).result == [1, 2]


async def test_an_emission_within_a_first_step_has_tasks_of_its_own():
    bus = EventBus("nested")
    tasks = []

    async def inner(_data):
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        return asyncio.current_task() is tasks[-1]

    async def outer(_data):
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(30):
            outcomes = await bus.emit("inner")
            assert outcomes.results == [True]
        return asyncio.current_task() is tasks[0]

    bus.on("inner", inner)
    bus.on("outer", outer)
    assert (await bus.emit("outer")).results == [True]
    assert tasks[0] is not tasks[1]


async def test_the_task_is_named_and_listed_while_it_carries_and_only_then():
    bus = EventBus("listed")
    seen = []

    async def handler(_data):
        await asyncio.sleep(0)
        task = asyncio.current_task()
        seen.append((task.get_name(), task in asyncio.all_tasks()))
        ended.append(weakref.ref(task))

    handler.__qualname__ = "handler"
    ended: list = []
    bus.on("x", handler)
    before = asyncio.all_tasks()
    await bus.emit("x")
    await asyncio.sleep(0)
    assert seen == [("handler handler", True)]
    # Idle ones are nobody's business.
    assert asyncio.all_tasks() == before
    gc.collect()
    assert ended[0]() is None


async def test_a_task_that_ends_tells_those_who_asked():
    bus = EventBus("callbacks")
    done = asyncio.Event()

    async def handler(_data):
        await asyncio.sleep(0)
        asyncio.current_task().add_done_callback(lambda _task: done.set())

    bus.on("x", handler)
    await bus.emit("x")
    await asyncio.wait_for(done.wait(), 5)


async def test_the_stack_of_a_handler_that_waits_is_seen():
    bus = EventBus("stack")
    tasks = []

    async def waits_here(_data):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0.01)

    bus.on("x", waits_here)
    async with bus:
        emission = bus.emit_nowait("x")
        await asyncio.sleep(0)
        [frame] = tasks[0].get_stack()
        assert frame.f_code.co_name == "waits_here"
        assert "waits_here" in repr(tasks[0])
        await emission


async def test_a_task_factory_makes_the_handlers_own_tasks_alone(beside):
    made = []

    def factory(loop, coroutine, **options):
        made.append(coroutine)
        eager = getattr(asyncio, "eager_task_factory", None)  # new in 3.12
        if eager is not None:
            return eager(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:

        async def handler(_data):
            before = asyncio.current_task()
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            return before is asyncio.current_task()

        assert (await outcome_of(handler, beside=beside)).result is True
        assert len(made) == 2
    finally:
        loop.set_task_factory(None)


async def test_a_future_that_is_done_within_the_turn():
    bus = EventBus("done")

    async def handler(future):
        return await future

    def sets(future):
        future.set_result("set")

    bus.on("x", handler)
    bus.on("x", sets, inline=True)
    for _ in range(2):
        outcomes = await bus.emit("x", asyncio.get_running_loop().create_future())
        assert outcomes.results == ["set", None]


async def test_other_awaitables_than_coroutines():
    bus = EventBus("awaitables")
    loop = asyncio.get_running_loop()

    def later(_data):
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        return future

    class Awaits:
        def __await__(self):
            yield
            return "object"

    bus.on("x", later, inline=True)
    bus.on("x", lambda _data: Awaits(), inline=True)
    for _ in range(2):
        assert (await bus.emit("x")).results == ["future", "object"]


async def test_a_handler_that_yields_nonsense_fails_alone():
    bus = EventBus("nonsense")

    class Nonsense:
        def __await__(self):
            yield "nonsense"

    async def fine(_data):
        await asyncio.sleep(0)
        return "fine"

    bus.on("x", lambda _data: Nonsense(), inline=True)
    bus.on("x", fine)
    outcomes = await bus.emit("x")
    assert isinstance(outcomes[0].error, RuntimeError)
    assert outcomes[1].result == "fine"
