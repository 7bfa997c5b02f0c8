"""Sync and async, both ways: context, cancellation, and who waits for whom."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from penstock import promisify, to_async, to_sync
from penstock.errors import Closed, Lost, Misuse
from penstock.resilience import TooManyAbandoned
from tests.resilience.calls import Call, Work, everywhere, turn_until

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Gate:
    """A function that blocks its thread until the test opens it."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.left = threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.opened.wait(30)
        self.left.set()
        return "through"


async def test_it_runs_elsewhere_and_raises_here():
    def fail():
        raise KeyError(threading.get_ident())

    with pytest.raises(KeyError) as raised:
        await to_async(fail)()
    assert raised.value.args[0] != threading.get_ident()
    assert await to_async(divmod)(7, 2) == (3, 1)


async def test_context_goes_along_and_comes_back():
    def work():
        seen = variable.get()
        variable.set("from the thread")
        return seen

    variable.set("from the task")
    assert await to_async(work)() == "from the task"
    assert variable.get() == "from the thread"


async def test_context_goes_both_ways_through_both():
    async def inner():
        await anyio.lowlevel.checkpoint()
        seen = variable.get()
        variable.set("from the loop")
        return seen

    def work():
        variable.set("from the thread")
        return to_sync(inner)(), variable.get()

    assert await to_async(work)() == ("from the thread", "from the loop")
    assert variable.get() == "from the loop"


async def test_from_a_lent_thread_it_goes_back_to_the_loop_that_lent_it():
    here = threading.get_ident()

    async def where():
        await anyio.lowlevel.checkpoint()
        return threading.get_ident()

    def there():
        return to_sync(where)()

    def twice():
        return to_sync(to_async(there))()

    assert await to_async(there)() == here
    assert await to_async(twice)() == here


@everywhere
async def test_a_cancelled_caller_waits_for_its_thread(how):
    gate = Gate()
    async with anyio.create_task_group() as group:
        call = Call(how, to_async(gate)).start(group)
        await turn_until(gate.entered.is_set)
        call.cancel()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert not call.is_over
        call.cancel()  # impatience changes nothing
        await anyio.lowlevel.checkpoint()
        gate.opened.set()
        assert await call.ended() == "cancelled"
    assert gate.left.is_set()


@everywhere
async def test_an_abandoned_thread_is_left_behind_and_counted(how):
    gate = Gate()
    awaited = to_async(gate, cancel="abandon", max_abandoned=1)
    async with anyio.create_task_group() as group:
        call = Call(how, awaited).start(group)
        await turn_until(gate.entered.is_set)
        call.cancel()
        assert await call.ended() == "cancelled"
        assert not gate.left.is_set()
        with pytest.raises(TooManyAbandoned):
            await awaited()
        gate.opened.set()
        while True:  # until the thread has told
            try:
                assert await awaited() == "through"
            except TooManyAbandoned:
                await anyio.lowlevel.checkpoint()
            else:
                break


@everywhere
async def test_a_cancellation_crosses_into_what_the_thread_awaits(how):
    work = Work()
    seen = []

    def blocking():
        try:
            to_sync(work)()
        except BaseException as error:
            seen.append(error)
            raise

    async with anyio.create_task_group() as group:
        call = Call(how, to_async(blocking)).start(group)
        await turn_until(lambda: work.running)
        call.cancel()
        assert await call.ended() == "cancelled"
    assert work.cancelled == 1
    assert isinstance(seen[0], anyio.get_cancelled_exc_class())


@everywhere
async def test_what_a_cancelled_thread_calls_next_is_cancelled_as_well(how):
    gate, work = Gate(), Work()

    def blocking():
        gate()
        to_sync(work)()

    async with anyio.create_task_group() as group:
        call = Call(how, to_async(blocking)).start(group)
        await turn_until(gate.entered.is_set)
        call.cancel()
        await anyio.lowlevel.checkpoint()
        gate.opened.set()
        assert await call.ended() == "cancelled"
    assert work.started == work.cancelled


async def test_the_limiter_bounds_the_threads():
    limiter = anyio.CapacityLimiter(2)
    running, most = [0], [0]
    lock = threading.Lock()

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        for _ in range(1000):
            pass
        with lock:
            running[0] -= 1

    awaited = to_async(work, limiter=limiter)
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(awaited)
    assert most[0] <= 2


@pytest.mark.parametrize("lend", [to_async, lambda fn: partial(anyio.to_thread.run_sync, fn)])
async def test_threads_that_wait_for_the_loop_leave_their_tokens_to_what_they_wait_for(lend):
    limiter = anyio.to_thread.current_default_thread_limiter()
    results = []

    def leaf():
        return 1

    async def inner():
        return await lend(leaf)()

    async def middle():
        return await to_async(to_sync(inner))()

    async def outer():
        results.append(await to_async(to_sync(middle))())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(2 * int(limiter.total_tokens)):
                group.start_soon(outer)
    assert results == [1] * 2 * int(limiter.total_tokens)
    assert limiter.borrowed_tokens == 0


async def test_a_thread_takes_its_token_again_and_goes_on_without_where_there_is_none():
    limiter = anyio.CapacityLimiter(1)
    gate, lock, seen = Gate(), threading.Lock(), []

    async def look():
        seen.append(limiter.borrowed_tokens)

    async def occupy():
        group.start_soon(to_async(with_lock, limiter=limiter))
        await turn_until(gate.entered.is_set)

    def with_lock():
        gate.entered.set()
        with lock:
            seen.append("lock")

    def work():
        with lock:
            to_sync(look)()
            seen.append(limiter.borrowed_tokens)
            to_sync(occupy)()  # whose thread has the only token, and waits for the lock
            seen.append("on")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await to_async(work, limiter=limiter)()
    assert seen == [0, 1, "on", "lock"]
    assert limiter.borrowed_tokens == 0


@everywhere
async def test_a_thread_left_behind_takes_no_token_again(how):
    limiter = anyio.CapacityLimiter(1)
    left, entered, released = threading.Event(), anyio.Event(), anyio.Event()

    async def linger():
        entered.set()
        with anyio.CancelScope(shield=True):
            await released.wait()

    def work():
        try:
            to_sync(linger)()
        finally:
            left.set()

    async with anyio.create_task_group() as group:
        call = Call(how, to_async(work, limiter=limiter, cancel="abandon")).start(group)
        await entered.wait()
        assert limiter.borrowed_tokens == 0
        call.cancel()
        assert await call.ended() == "cancelled"
        released.set()
        await turn_until(left.is_set)
    assert limiter.borrowed_tokens == 0


async def test_to_sync_is_refused_on_the_loops_own_thread():
    with pytest.raises(Misuse, match="it would wait for itself"):
        to_sync(anyio.sleep)(0)


def test_without_a_loop_there_is_an_error():
    with pytest.raises(Misuse, match="no event loop to run on"):
        to_sync(anyio.sleep)(0)


async def test_from_a_plain_thread_it_runs_where_it_was_made():
    async def double(n):
        await anyio.lowlevel.checkpoint()
        return 2 * n

    blocking = to_sync(double)
    results = []
    thread = threading.Thread(target=lambda: results.append(blocking(21)))
    thread.start()
    await turn_until(lambda: results)
    thread.join()
    assert results == [42]


def test_a_loop_that_is_closed_is_told():
    async def make():
        return to_sync(anyio.sleep)

    blocking = asyncio.run(make())
    with pytest.raises(Closed):
        blocking(0)


def test_a_loop_that_ends_meanwhile_does_not_leave_the_thread_waiting():
    outcomes = []

    def wait(blocking):
        try:
            blocking()
        except BaseException as error:
            outcomes.append(error)

    async def main():
        work = Work()
        thread = threading.Thread(target=wait, args=(to_sync(work),))
        thread.start()
        await turn_until(lambda: work.running)
        return thread

    asyncio.run(main()).join()
    assert isinstance(outcomes[0], Lost)
    assert isinstance(outcomes[0].__cause__, asyncio.CancelledError)


async def test_promisify_in_a_lent_thread_is_for_the_loop():
    def ask(callback):
        callback(None, 1)

    def there():
        return to_sync(promisify(ask))()

    assert await to_async(there)() == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: to_async(7), "7 is no function"),
        (lambda: to_async(asyncio.sleep), "is an async function"),
        (lambda: to_async(print, cancel="kill"), "cancel='kill' is unknown"),
        (lambda: to_async(print, max_abandoned=0), "max_abandoned=0"),
        (lambda: to_async(print, limiter=4), "limiter=4"),
        (lambda: to_sync(7), "7 is no async function"),
        (lambda: to_sync(lambda: 1), "is not async"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make, said):
    with pytest.raises(Misuse, match=said):
        make()


async def test_it_may_be_decorated():
    @to_async(cancel="abandon")
    def half(n: int) -> float:
        """Halves."""
        return n / 2

    assert await half(3) == 1.5
    assert half.__doc__ == "Halves."
    assert await partial(half, 5)() == 2.5
