"""One policy around everything that can be called, on every loop; and what it refuses."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from functools import partial

import pytest

from penstock import Cache, Deadline, Fallback, Hedge, Policy, Retry, Timeout
from penstock.errors import Misuse
from penstock.resilience import DeadlineExceeded, remaining
from penstock.testing import FakeClock

EVERYTHING = Policy(
    "everything", Fallback(value="fallback"), Deadline(10.0), Retry(delay=0.0), Timeout(5.0)
)


async def test_an_async_function_keeps_its_signature(anyio_backend):
    @EVERYTHING
    async def add(a: int, /, b: int = 2, *, c: int = 3) -> int:
        """Adds."""
        return a + b + c

    assert await add(1) == 6
    assert await add(1, b=3, c=5) == 9
    assert str(inspect.signature(add)) == "(a: 'int', /, b: 'int' = 2, *, c: 'int' = 3) -> 'int'"
    assert inspect.iscoroutinefunction(add)
    assert (add.__name__, add.__doc__) == ("add", "Adds.")


def test_a_plain_function_keeps_its_signature():
    @EVERYTHING
    def add(a: int, /, b: int = 2, *, c: int = 3) -> int:
        """Adds."""
        return a + b + c

    assert add(1, b=3, c=5) == 9
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert not inspect.iscoroutinefunction(add)


async def test_a_method(anyio_backend):
    class Client:
        def __init__(self, name):
            self.name = name

        @EVERYTHING
        async def who(self):
            return self.name

        @EVERYTHING
        def plain(self):
            return self.name

    assert await Client("a").who() == "a"
    assert Client("b").plain() == "b"


async def test_run_and_call(anyio_backend):
    async def double(value):
        return 2 * value

    assert await EVERYTHING.run(double, 4) == 8
    assert await EVERYTHING.run(partial(double, value=5)) == 10
    assert Policy("plain", Retry()).call(divmod, 7, 2) == (3, 1)


async def test_a_policy_of_nothing(anyio_backend):
    async def one():
        return 1

    nothing = Policy("nothing")
    assert await nothing.run(one) == 1
    assert nothing.call(int) == 0
    assert repr(nothing) == "Policy('nothing', nothing)"


async def test_run_takes_async_functions(anyio_backend):
    with pytest.raises(Misuse, match=r"run: int returned int, which cannot be awaited"):
        await Policy("wrong").run(int)


def test_call_takes_plain_functions():
    async def late():
        pass

    with pytest.raises(Misuse, match="late is an async function, which has not run yet"):
        Policy("wrong").call(late)


def test_a_generator_function_is_refused():
    with pytest.raises(Misuse, match="is a generator function"):

        @EVERYTHING
        def numbers():
            yield 1

    class Numbers:
        def __call__(self):
            yield 1

    with pytest.raises(Misuse, match=r"Numbers object at .* is a generator function"):
        EVERYTHING(Numbers())


async def test_an_object_is_what_its_call_is(anyio_backend):
    class Flaky:
        def __init__(self):
            self.calls = 0

        async def __call__(self, value):
            self.calls += 1
            if self.calls % 2:
                raise ConnectionError
            return value

    policy = Policy("objects", Retry(attempts=2, delay=0.0))
    assert await policy(Flaky())(7) == 7
    assert await policy.keyed(str)(Flaky())(7) == 7

    class Items(Flaky):
        async def __call__(self, value):
            yield await super().__call__(value)

    assert [item async for item in policy(Items())(7)] == [7]


def test_outside_of_any_loop():
    async def one():
        return 1

    coroutine = EVERYTHING.run(one)
    with pytest.raises(Misuse, match="no event loop runs here"):
        coroutine.send(None)


def test_hedge_is_for_async_calls():
    with pytest.raises(Misuse, match="Hedge serves async calls only"):
        Policy("wrong", Hedge(1.0)).call(int)
    with pytest.raises(Misuse, match="Hedge serves async calls only"):
        Policy("wrong", Hedge(1.0))(int)


def test_one_frame_of_ours_in_a_traceback_with_its_text():
    @Policy(
        "framed", Fallback(value=0, on=KeyError), Deadline(9.0), Retry(on=KeyError), Timeout(3.0)
    )
    async def fail():
        raise ValueError("here")

    with pytest.raises(ValueError) as raised:
        asyncio.run(fail())
    frames = traceback.extract_tb(raised.value.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith("<penstock policy")]
    assert len(ours) == 1
    assert ours[0].filename.startswith("<penstock policy: Fallback > Deadline > Retry > Timeout")
    assert ours[0].line == "value = await fn(*args, **kwargs)"


async def test_from_several_loops(anyio_backend):
    """The same policy, at once, in this loop and in others of other threads."""
    import anyio.to_thread

    async def one():
        await asyncio.sleep(0)
        return 1

    def elsewhere():
        return asyncio.run(EVERYTHING.run(one))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(anyio.to_thread.run_sync, elsewhere)


async def test_the_deadline_travels_down_and_is_gone_afterwards(anyio_backend):
    seen = []

    async def inner():
        seen.append(remaining())

    with FakeClock():
        outer = Policy("outer", Deadline(5.0))
        await outer.run(Policy("inner", Deadline(9.0)).run, inner)
        await outer.run(Policy("inner", Deadline(3.0)).run, inner)
        await outer.run(inner)
        seen.append(remaining())
    assert seen == [5.0, 3.0, 5.0, None]


async def test_what_cannot_finish_in_time_is_not_started(anyio_backend):
    calls = []

    async def late():
        clock.advance(2.0)
        await Policy("inner", Deadline(9.0)).run(never)

    async def never():
        calls.append(1)

    with FakeClock() as clock, pytest.raises(DeadlineExceeded):
        await Policy("outer", Deadline(2.0)).run(late)
    assert calls == []


async def test_a_deadline_in_the_trace_context_counts(anyio_backend):
    import time

    from penstock.tracing import TraceContext

    async def never():
        raise AssertionError

    past = TraceContext.current().replace(deadline=time.monotonic() - 1.0)
    with past.activate(), pytest.raises(DeadlineExceeded, match="is over before the call began"):
        await Policy("late", Deadline(9.0)).run(never)
    ahead = TraceContext.current().replace(deadline=time.monotonic() + 3600.0)
    with ahead.activate():
        left = remaining()
        assert left is not None
        assert 0.0 < left <= 3600.0


def test_a_deadline_bounds_what_runs_in_threads():
    with FakeClock() as clock:
        policy = Policy("threads", Deadline(5.0), Retry(attempts=3, delay=0.0), Timeout(4.0))
        seen = []

        def hang():
            seen.append(remaining())
            clock.advance(4.0)
            import threading

            hanging.append(threading.Event())
            hanging[-1].wait()

        hanging = []
        with pytest.raises(DeadlineExceeded):
            policy.call(hang)
        assert seen == [5.0, 1.0]
        for each in hanging:
            each.set()


def test_keyed_policies_have_states_of_their_own():
    policy = Policy("hosts", Cache(60.0, key=lambda host, path: path))
    calls = []

    def get(host, path):
        calls.append(host)
        return host

    keyed = policy.keyed(lambda host, path: host, max_keys=2)
    assert [keyed.call(get, host, "/") for host in "aba"] == ["a", "b", "a"]
    assert calls == ["a", "b"]
    assert keyed.for_key("a") is keyed.for_key("a")
    keyed.call(get, "c", "/")  # b was used longest ago
    keyed.call(get, "b", "/")
    assert calls == ["a", "b", "c", "b"]


async def test_keyed_decorates_all_forms(anyio_backend):
    keyed = Policy("hosts", Retry(delay=0.0)).keyed(lambda host: host)

    @keyed
    async def get(host):
        return host

    @keyed
    def plain(host):
        return host

    @keyed
    async def stream(host):
        yield host

    assert await get("a") == "a"
    assert plain("b") == "b"
    assert [item async for item in stream("c")] == ["c"]


@pytest.mark.parametrize("key", [None, "host"])
def test_keyed_takes_a_function(key):
    with pytest.raises(Misuse, match="is no function"):
        Policy("hosts").keyed(key)


@pytest.mark.parametrize("number", [0, -1, True, 1.5])
def test_keyed_takes_a_bound(number):
    with pytest.raises(Misuse, match="max_keys"):
        Policy("hosts").keyed(str, max_keys=number)
