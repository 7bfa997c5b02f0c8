"""`measure` on every loop: what passes through, what is counted, what is not."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import inspect
import math
import warnings
import weakref
from collections.abc import Coroutine

import anyio
import pytest

from penstock.errors import Misuse
from penstock.metrics import MeasuredCall, MeasurementSnapshot, Metrics
from penstock.metrics.registry import Measure


@pytest.fixture
def registry() -> Metrics:
    return Metrics()


@pytest.fixture
def measure(registry: Metrics) -> Measure:
    return registry.measure


def read(registry: Metrics, name: str = "x") -> MeasurementSnapshot:
    found = registry.snapshot()[name]
    assert isinstance(found, MeasurementSnapshot)
    return found


def told(registry: Metrics, name: str = "x") -> tuple[int, dict[str, int], int, int]:
    found = read(registry, name)
    return found.count, dict(found.errors), found.cancelled, found.in_flight


async def give(value: object, *, turns: int = 0) -> object:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    return value


async def fail(error: BaseException, *, turns: int = 0) -> None:
    await give(None, turns=turns)
    raise error


# --- what passes through -------------------------------------------------------------------


async def test_a_result_passes_through(measure: Measure, registry: Metrics):
    for value in (None, 1, (1, 2), (), StopIteration(3), ValueError("as a value")):
        assert await measure("x", give, value) is value
        assert await measure("x", give, value, turns=2) is value
    assert told(registry) == (12, {}, 0, 0)


async def test_an_exception_passes_through_and_counts_by_type(measure: Measure, registry: Metrics):
    for error in (KeyError("k"), KeyError("l"), anyio.ClosedResourceError(), OSError(2, "gone")):
        with pytest.raises(type(error)) as caught:
            await measure("x", fail, error, turns=1)
        assert caught.value is error
    await measure("x", give, 1)
    assert told(registry) == (
        5,
        {"KeyError": 2, "anyio.ClosedResourceError": 1, "FileNotFoundError": 1},
        0,
        0,
    )
    assert read(registry).error_rate == pytest.approx(0.8)


async def test_arguments_pass_as_they_are(measure: Measure):
    async def show(*args: object, **kwargs: object) -> object:
        return args, kwargs

    assert await measure("x", show) == ((), {})
    assert await measure("x", show, 1, name="n", fn="f") == ((1,), {"name": "n", "fn": "f"})
    assert await measure("x", functools.partial(show, 1), 2) == ((1, 2), {})


async def test_a_call_with_the_wrong_arguments_is_a_failed_one(measure: Measure, registry: Metrics):
    await measure("x", give, 1)
    for _ in range(2):
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            measure("x", give)
    assert told(registry) == (3, {"TypeError": 2}, 0, 0)


async def test_methods_partials_and_objects_are_measured(measure: Measure, registry: Metrics):
    class Service:
        async def method(self, value: int) -> int:
            return await give(value, turns=1)

        async def __call__(self, value: int) -> int:
            return value

        def plain_that_returns_a_coroutine(self, value: int) -> Coroutine[object, object, int]:
            return self.method(value)

    service = Service()
    for n in range(3):
        assert await measure("x", service.method, n) == n
        assert await measure("x", service, n) == n
        assert await measure("x", service.plain_that_returns_a_coroutine, n) == n
        assert await measure("x", functools.partial(service.method, n)) == n
        assert await measure("x", lambda n=n: service.method(n)) == n
    assert told(registry) == (15, {}, 0, 0)


async def test_an_awaitable_that_is_no_coroutine_lasts_until_it_is_done(
    measure: Measure, registry: Metrics
):
    class Awaitable:
        def __await__(self):
            yield from anyio.lowlevel.checkpoint().__await__()
            return "done"

    assert await measure("x", Awaitable) == "done"
    assert told(registry) == (1, {}, 0, 0)


async def test_a_broken_awaitable_is_a_failed_call(measure: Measure, registry: Metrics):
    class Broken:
        def __await__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure("x", Broken)
    assert told(registry) == (1, {"ZeroDivisionError": 1}, 0, 0)


def test_a_plain_function_is_called_at_once(measure: Measure, registry: Metrics):
    seen = []

    def work(value: int) -> int:
        seen.append(told(registry))
        return value + 1

    assert measure("x", work, 1) == 2
    assert seen == [(0, {}, 0, 1)]
    assert measure("x", "abc".upper) == "ABC"
    with pytest.raises(ValueError, match="invalid literal"):
        measure("x", int, "no")
    assert told(registry) == (3, {"ValueError": 1}, 0, 0)


def test_one_function_that_is_sometimes_async(measure: Measure, registry: Metrics):
    def sometimes(is_async: bool) -> object:
        return give(1) if is_async else 2

    for _ in range(3):
        assert asyncio.run(measure("x", sometimes, True)) == 1
        assert measure("x", sometimes, False) == 2
    assert told(registry) == (6, {}, 0, 0)


# --- cancellation --------------------------------------------------------------------------


async def test_a_cancelled_call_is_no_error(measure: Measure, registry: Metrics):
    started = anyio.Event()

    async def wait() -> None:
        started.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(functools.partial(measure, "x", wait))
        await started.wait()
        assert told(registry) == (0, {}, 0, 1)
        group.cancel_scope.cancel()
    assert told(registry) == (0, {}, 1, 0)
    assert read(registry).error_rate == 0.0


async def test_a_timeout_around_it_is_a_cancellation_and_one_inside_an_error(
    measure: Measure, registry: Metrics
):
    with anyio.move_on_after(0) as scope:
        await measure("outside", anyio.sleep_forever)
    assert scope.cancelled_caught
    assert told(registry, "outside") == (0, {}, 1, 0)

    async def inside() -> None:
        with anyio.fail_after(0):
            await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        await measure("inside", inside)
    assert told(registry, "inside") == (1, {"TimeoutError": 1}, 0, 0)


async def test_a_cancellation_that_is_answered_with_a_value_is_a_success(
    measure: Measure, registry: Metrics
):
    async def stubborn() -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        return "still here"

    assert await measure("x", stubborn) == "still here"
    assert told(registry) == (1, {}, 0, 0)


async def test_groups_are_failures_if_one_of_theirs_is(measure: Measure, registry: Metrics):
    with pytest.raises(BaseExceptionGroup):
        await measure("a", fail, BaseExceptionGroup("", [GeneratorExit(), ValueError()]))
    assert told(registry, "a") == (1, {"BaseExceptionGroup": 1}, 0, 0)
    with pytest.raises(BaseExceptionGroup):
        await measure("b", fail, BaseExceptionGroup("", [GeneratorExit(), KeyboardInterrupt()]))
    assert told(registry, "b") == (0, {}, 1, 0)
    with pytest.raises(ExceptionGroup):
        await measure("c", fail, ExceptionGroup("", [ValueError()]))
    assert told(registry, "c") == (1, {"ExceptionGroup": 1}, 0, 0)


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        GeneratorExit(),
        KeyboardInterrupt(),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_only_cuts_a_call_short_is_no_error(
    measure: Measure, registry: Metrics, error: BaseException
):
    def plain() -> None:
        raise error

    with pytest.raises(type(error)):
        measure("x", plain)
    with pytest.raises(type(error)), measure("x"):
        raise error
    call = measure("x", fail, error)
    with pytest.raises(type(error)):
        call.send(None)
    assert told(registry) == (0, {}, 3, 0)


# --- the coroutine itself ------------------------------------------------------------------


def test_a_call_is_a_coroutine(measure: Measure):
    call = measure("x", give, 1)
    assert isinstance(call, MeasuredCall)
    assert isinstance(call, Coroutine)
    assert inspect.isawaitable(call)
    assert asyncio.iscoroutine(call)
    assert call.__qualname__ == "give"
    assert call.cr_frame.f_code is give.__code__
    assert not hasattr(call, "nonsense")
    call.close()


async def test_a_task_group_can_run_one(measure: Measure, registry: Metrics):
    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(functools.partial(measure, "x", give, n, turns=2))
    assert told(registry) == (5, {}, 0, 0)


def test_a_call_that_is_never_awaited_counts_as_nothing(measure: Measure, registry: Metrics):
    with pytest.warns(RuntimeWarning, match="coroutine 'give' was never awaited"):
        measure("x", give, 1)
    assert told(registry) == (0, {}, 0, 0)


def step() -> object:
    class Yield:
        def __await__(self):
            return (yield "yielded")

    return Yield()


async def echo() -> object:
    return await step()


def test_send_and_next_drive_it_as_a_loop_would(measure: Measure, registry: Metrics):
    call = measure("x", echo)
    assert call.send(None) == "yielded"
    assert told(registry) == (0, {}, 0, 1)
    with pytest.raises(StopIteration) as caught:
        call.send((1, 2))
    assert caught.value.value == (1, 2)
    assert told(registry) == (1, {}, 0, 0)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        call.send(None)
    assert told(registry) == (1, {}, 0, 0)
    call = measure("x", echo)
    assert next(call) == "yielded"
    call.close()


def test_throw_reaches_the_coroutine(measure: Measure, registry: Metrics):
    async def catches() -> object:
        try:
            await step()
        except KeyError as error:
            return error.args[0]

    call = measure("x", catches)
    call.send(None)
    with pytest.raises(StopIteration) as caught:
        call.throw(KeyError("seen"))
    assert caught.value.value == "seen"
    for exception in ((ValueError,), (ValueError, ValueError("v"), None), (ValueError("v"),)):
        call = measure("x", echo)
        call.send(None)
        with warnings.catch_warnings():
            # The signature with three arguments is deprecated, and loops still use it.
            warnings.simplefilter("ignore", DeprecationWarning)
            with pytest.raises(ValueError):
                call.throw(*exception)
    assert told(registry) == (4, {"ValueError": 3}, 0, 0)


def test_throw_into_an_awaitable_without_throw_raises_there(measure: Measure, registry: Metrics):
    class Bare:
        def __await__(self):
            return iter(["yielded"])

    call = measure("x", Bare)
    assert call.send(None) == "yielded"
    with pytest.raises(ValueError, match="v"):
        call.throw(ValueError("v"))
    assert told(registry) == (1, {"ValueError": 1}, 0, 0)
    call = measure("x", Bare)
    call.send(None)
    call.close()
    assert told(registry) == (1, {"ValueError": 1}, 1, 0)


def test_close_cancels_what_has_begun(measure: Measure, registry: Metrics):
    ended = []

    async def work() -> None:
        try:
            await step()
        finally:
            ended.append(True)

    fresh = measure("x", work)
    fresh.close()
    assert told(registry) == (0, {}, 0, 0)
    begun = measure("x", work)
    begun.send(None)
    begun.close()
    begun.close()
    assert ended == [True]
    assert told(registry) == (0, {}, 1, 0)


def test_close_that_fails_is_an_error(measure: Measure, registry: Metrics):
    async def stubborn() -> None:
        try:
            await step()
        except GeneratorExit:
            raise OSError from None

    call = measure("x", stubborn)
    call.send(None)
    with pytest.raises(OSError):
        call.close()
    assert told(registry) == (1, {"OSError": 1}, 0, 0)


def test_dropped_while_under_way_is_cancelled(measure: Measure, registry: Metrics):
    call = measure("x", echo)
    call.send(None)
    del call
    gc.collect()
    assert told(registry) == (0, {}, 1, 0)


def test_a_cycle_through_a_call_is_collected(measure: Measure, registry: Metrics):
    class Holder:
        call: object

    async def hold(holder: Holder) -> None:
        await step()
        del holder

    holder = Holder()
    holder.call = measure("x", hold, holder)
    holder.call.send(None)
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None
    assert told(registry) == (0, {}, 1, 0)


# --- blocks --------------------------------------------------------------------------------


def test_a_block_is_a_call(measure: Measure, registry: Metrics):
    with measure("x") as timing:
        assert math.isnan(timing.seconds)
        assert told(registry) == (0, {}, 0, 1)
    assert timing.seconds > 0
    with pytest.raises(KeyError), measure("x"):
        raise KeyError
    assert told(registry) == (2, {"KeyError": 1}, 0, 0)
    assert read(registry).max >= timing.seconds


async def test_an_async_block_is_a_call(measure: Measure, registry: Metrics):
    async with measure("x") as timing:
        await give(1, turns=1)
    assert timing.seconds > 0
    with pytest.raises(KeyError):
        async with measure("x"):
            await fail(KeyError(), turns=1)
    with anyio.CancelScope() as scope:
        async with measure("x"):
            scope.cancel()
            await anyio.sleep_forever()
    assert told(registry) == (2, {"KeyError": 1}, 1, 0)


async def test_a_block_serves_once(measure: Measure, registry: Metrics):
    timing = measure("x")
    with timing:
        with pytest.raises(Misuse, match=r"measure\('x'\) was entered twice"):
            timing.__enter__()
        with pytest.raises(Misuse, match="twice"):
            async with timing:
                raise AssertionError
    with pytest.raises(Misuse, match="twice"), timing:
        raise AssertionError
    assert told(registry) == (1, {}, 0, 0)


def test_a_block_that_is_never_left_is_cancelled(measure: Measure, registry: Metrics):
    timing = measure("x")
    timing.__enter__()
    del timing
    gc.collect()
    measure("x")  # never entered: nothing
    assert told(registry) == (0, {}, 1, 0)


# --- the decorator -------------------------------------------------------------------------


async def test_a_decorated_coroutine_function_stays_one(registry: Metrics):
    @registry.measured("x")
    async def fetch(key: str, *, upper: bool = False) -> str:
        """Fetches."""
        return key.upper() if upper else key

    assert inspect.iscoroutinefunction(fetch)
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetches.")
    assert str(inspect.signature(fetch)) == "(key: 'str', *, upper: 'bool' = False) -> 'str'"
    assert told(registry) == (0, {}, 0, 0)
    assert await fetch("k", upper=True) == "K"
    assert told(registry) == (1, {}, 0, 0)


def test_a_decorated_function_stays_one(registry: Metrics):
    @registry.measured("x")
    def half(n: int) -> float:
        return n / 2

    assert not inspect.iscoroutinefunction(half)
    assert half(3) == 1.5
    with pytest.raises(TypeError):
        half("a")
    assert told(registry) == (2, {"TypeError": 1}, 0, 0)


def test_generator_functions_are_refused(registry: Metrics):
    def plain():
        yield 1

    async def asynchronous():
        yield 1

    for fn in (plain, asynchronous):
        with pytest.raises(Misuse, match="is a generator function"):
            registry.measured("x")(fn)


# --- bad calls -----------------------------------------------------------------------------


def test_what_cannot_be_called_is_refused(measure: Measure, registry: Metrics):
    coroutine = give(1)
    with pytest.raises(Misuse, match=r"measure\('x', fn, ...\) calls fn") as caught:
        measure("x", coroutine)
    assert "not what it returned" in caught.value.hint
    coroutine.close()
    assert told(registry) == (0, {}, 0, 0)


def test_measure_needs_a_name_and_takes_no_keywords_alone(measure: Measure):
    with pytest.raises(Misuse, match="needs a name"):
        measure()
    with pytest.raises(Misuse, match="takes no keywords"):
        measure("x", fn=len)


def test_measure_documents_itself(measure: Measure):
    assert measure.__name__ == "measure"
    assert "in flight" in measure.__doc__ or "under way" in measure.__doc__
    assert str(inspect.signature(measure)) == "(name, fn=None, /, *args, **kwargs)"


def test_kinds_of_error_are_bounded(measure: Measure, registry: Metrics):
    def raise_one(n: int) -> None:
        raise type(f"Error{n}", (Exception,), {})(n)

    for n in range(100):
        with pytest.raises(Exception, match=str(n)):
            measure("x", raise_one, n)
    errors = read(registry).errors
    assert len(errors) == 65
    assert errors["_OTHER"] == 36
    assert sum(errors.values()) == read(registry).count == 100
