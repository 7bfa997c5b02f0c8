"""Functions that call back, as async ones: every style, every moment, every way to misbehave."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from functools import partial
from typing import NamedTuple

import anyio
import pytest

from penstock import Policy, Timeout, from_callbacks, promisify
from penstock.adapters import CallbackError, CallbackLost, CallbackWarning
from penstock.errors import Misuse
from penstock.resilience import AttemptTimeout
from tests.resilience.calls import Call, everywhere, turn_until


class Switchboard:
    """An old API that keeps the callbacks it is given, for the test to call."""

    def __init__(self):
        self.callbacks = []
        self.hung_up = []

    def ask(self, question, callback):
        self.callbacks.append(callback)
        return f"line {question}"

    def fetch(self, key, on_success, on_error):
        self.callbacks.append((on_success, on_error))
        return f"line {key}"

    def answer(self, *args):
        self.callbacks.pop()(*args)


def in_thread(fn, *args):
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    return thread


# styles


def test_the_error_comes_first_unless_said_otherwise():
    def by_style(callback, *args):
        callback(*args)

    def call(*args, **options):
        return asyncio.run(promisify(partial(by_style), callback=0, **options)(*args))

    assert call(None, 7) == 7
    assert call(None) is None
    assert call() is None
    assert call(None, 1, 2, results="tuple") == (1, 2)
    assert call(7, None, style="error_last") == 7
    assert call(7, style="value") == 7
    assert call(style="value", results="tuple") == ()
    with pytest.raises(KeyError):
        call(KeyError("x"))
    with pytest.raises(KeyError):
        call(None, KeyError("x"), style="error_last")
    with pytest.raises(KeyError):
        call(KeyError)
    assert call(KeyError("x"), style="value").args == ("x",)


def test_several_values_are_not_dropped_unseen():
    def head(callback):
        callback(None, 200, b"body")

    class Reply(NamedTuple):
        status: int
        body: bytes

    assert asyncio.run(promisify(head, results=Reply)()) == Reply(200, b"body")
    with pytest.raises(CallbackError, match="given 2 values") as raised:
        asyncio.run(promisify(head)())
    assert raised.value.reason == (200, b"body")
    assert "results" in raised.value.hint


def test_an_error_that_is_no_exception_is_made_one():
    def fail(reason, callback):
        callback(reason)

    with pytest.raises(CallbackError, match="'ENOENT'") as raised:
        asyncio.run(promisify(fail)("ENOENT"))
    assert raised.value.reason == "ENOENT"

    def by_number(number):
        return OSError(number, "no") if number else None

    with pytest.raises(FileNotFoundError):
        asyncio.run(promisify(fail, as_error=by_number)(2))
    assert asyncio.run(promisify(fail, as_error=by_number)(0)) is None
    # Without it zero is an error, as nothing but None is success.
    with pytest.raises(CallbackError):
        asyncio.run(promisify(fail)(0))


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_a_cancellation_over_there_is_none_here(kind):
    def fail(callback):
        callback(kind())

    with pytest.raises(CallbackError) as raised:
        await promisify(fail)()
    assert isinstance(raised.value.__cause__, kind)


def test_where_the_callback_goes():
    def last(a, b=2, callback=None):
        callback(None, (a, b))

    def named(a, *, done, b=2):
        done(None, (a, b))

    def first(callback, a, b=2):
        callback(None, (a, b))

    def anything(*args, **kwargs):
        args[-1](None, args[:-1])

    assert asyncio.run(promisify(last)(1)) == (1, 2)
    assert asyncio.run(promisify(last)(1, 3)) == (1, 3)
    assert asyncio.run(promisify(last)(a=1, b=4)) == (1, 4)
    assert asyncio.run(promisify(named, callback="done")(1, b=5)) == (1, 5)
    assert asyncio.run(promisify(first, callback=0)(1)) == (1, 2)
    assert asyncio.run(promisify(anything)(1, 2, 3)) == (1, 2, 3)
    with pytest.raises(Misuse, match="done= is its callback"):
        asyncio.run(promisify(named, callback="done")(1, done=print))


def test_the_signature_is_without_the_callback():
    def read(path: str, size: int = 3, callback=None):
        """Reads."""

    wrapped = promisify(read)
    assert str(inspect.signature(wrapped)).replace("'", "") == "(path: str, size: int = 3)"
    assert (wrapped.__name__, wrapped.__doc__) == ("read", "Reads.")
    assert inspect.iscoroutinefunction(wrapped)
    assert list(inspect.signature(from_callbacks(lambda a, ok, no: None)).parameters) == ["a"]


def test_as_a_decorator_of_a_method():
    class Api:
        factor = 2

        @promisify(style="value")
        def double(self, n, callback):
            callback(n * self.factor)

    assert asyncio.run(Api().double(4)) == 8


def test_an_api_may_have_an_async_form_of_its_own():
    async def better(n):
        return n + 1

    def old(n, callback):
        raise AssertionError

    old.__promisified__ = better
    assert promisify(old) is better
    old.__promisified__ = 7
    with pytest.raises(Misuse, match="__promisified__ is 7"):
        promisify(old)


# from where and when it calls back


async def test_from_another_thread():
    def ask(callback):
        in_thread(callback, None, threading.get_ident)

    for _ in range(100):
        assert await promisify(ask)() is threading.get_ident


async def test_from_another_loop():
    async def elsewhere(callback):
        await asyncio.sleep(0)
        callback(None, "from elsewhere")

    def ask(callback):
        in_thread(lambda: asyncio.run(elsewhere(callback)))

    assert await promisify(ask)() == "from elsewhere"


async def test_before_it_returns_and_while_nobody_waits_yet():
    def ask(callback):
        thread = in_thread(callback, None, 1)
        thread.join()

    assert await promisify(ask)() == 1


async def test_many_at_once_from_many_threads():
    board = Switchboard()
    results = []

    async def one(n):
        results.append(await promisify(board.ask)(n))

    async with anyio.create_task_group() as group:
        for n in range(200):
            group.start_soon(one, n)
        await turn_until(lambda: len(board.callbacks) == 200)
        threads = [in_thread(callback, None, n) for n, callback in enumerate(board.callbacks)]
        board.callbacks.clear()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(200))


# twice, never, and both


async def test_the_first_call_counts_and_others_warn_where_they_are_made():
    def twice(callback):
        callback(None, 1)
        with pytest.warns(CallbackWarning, match="called after it had been called") as caught:
            callback(None, 2)
        assert caught[0].filename == __file__
        with pytest.warns(CallbackWarning):
            callback(ValueError("late"))

    assert await promisify(twice)() == 1


async def test_a_callback_let_go_of_is_an_error_at_once():
    def forgets(callback):
        pass

    with pytest.raises(CallbackLost, match=r"forgets.*let go of without a call"):
        await promisify(forgets)()

    board = Switchboard()

    async def drop():
        await turn_until(lambda: board.callbacks)
        board.callbacks.clear()
        gc.collect()

    async with anyio.create_task_group() as group:
        group.start_soon(drop)
        with pytest.raises(CallbackLost):
            await promisify(board.ask)("x")


async def test_of_a_pair_both_have_to_be_let_go_of():
    board = Switchboard()
    kept = []

    async def drop_one():
        await turn_until(lambda: board.callbacks)
        ((success, _),) = board.callbacks
        kept.append(success)
        board.callbacks.clear()
        del success
        for _ in range(5):
            gc.collect()
            await anyio.lowlevel.checkpoint()
        kept.pop()(5)

    async with anyio.create_task_group() as group:
        group.start_soon(drop_one)
        assert await from_callbacks(board.fetch)("x") == 5


async def test_a_callback_let_go_of_in_another_thread():
    def forgets_later(callback):
        box = [callback]
        del callback
        in_thread(box.clear)

    with pytest.raises(CallbackLost):
        await promisify(forgets_later)()


async def test_one_that_is_held_and_never_called_ends_with_a_timeout():
    board = Switchboard()
    ask = Policy("ask", Timeout(0.01))(promisify(board.ask, cancel=board.hung_up.append))
    with pytest.raises(AttemptTimeout):
        await ask("x")
    assert board.hung_up == ["line x"]


async def test_what_the_function_raises_is_raised():
    def refuses(callback):
        raise LookupError("closed")

    with pytest.raises(LookupError, match="closed"):
        await promisify(refuses)()


async def test_a_call_and_then_an_exception_the_call_counts():
    def both(callback):
        callback(None, 1)
        raise LookupError("afterwards")

    with pytest.warns(CallbackWarning, match=r"and then raised LookupError\('afterwards'\)"):
        assert await promisify(both)() == 1


async def test_an_exception_and_then_a_call_the_exception_counts():
    kept = []

    def both(callback):
        kept.append(callback)
        raise LookupError("first")

    with pytest.raises(LookupError):
        await promisify(both)()
    with pytest.warns(CallbackWarning, match="called after it had raised"):
        kept[0](None, 1)


async def test_an_interruption_is_never_a_result():
    def interrupted(callback):
        callback(None, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await promisify(interrupted)()


# cancellation


@everywhere
async def test_a_cancelled_wait_calls_off_and_late_results_are_taken_care_of(how):
    board = Switchboard()
    closed = []
    ask = promisify(board.ask, cancel=board.hung_up.append, late=closed.append)
    async with anyio.create_task_group() as group:
        call = Call(how, partial(ask, "x")).start(group)
        await turn_until(lambda: board.callbacks)
        assert board.hung_up == []
        call.cancel()
        assert await call.ended() == "cancelled"
    assert board.hung_up == ["line x"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        board.callbacks[0](None, "connection")  # no fault of theirs
        board.callbacks[0](ValueError("nobody is there"))
    assert closed == ["connection"]


@everywhere
async def test_a_result_in_the_moment_of_the_cancellation_is_late_or_delivered(how):
    board = Switchboard()
    closed = []
    ask = promisify(board.ask, late=closed.append)
    async with anyio.create_task_group() as group:
        call = Call(how, partial(ask, "x")).start(group)
        await turn_until(lambda: board.callbacks)
        board.answer(None, "connection")
        call.cancel()
        outcome = await call.ended()
    assert (outcome, closed) in [("cancelled", ["connection"]), ("connection", [])]


@everywhere
async def test_hooks_that_fail_are_logged_and_the_cancellation_goes_on(how, caplog):
    def broken(_given):
        raise RuntimeError("hook")

    board = Switchboard()
    ask = promisify(board.ask, cancel=broken, late=broken)
    async with anyio.create_task_group() as group:
        call = Call(how, partial(ask, "x")).start(group)
        await turn_until(lambda: board.callbacks)
        call.cancel()
        assert await call.ended() == "cancelled"
    board.answer(None, 1)
    assert [record.exc_info[1].args for record in caplog.records] == [("hook",)] * 2


# the pair


async def test_success_and_error_in_two_callbacks():
    board = Switchboard()
    fetch = from_callbacks(board.fetch)

    async def answer(which, *args):
        await turn_until(lambda: board.callbacks)
        board.callbacks.pop()[which](*args)

    async with anyio.create_task_group() as group:
        group.start_soon(answer, 0, 7)
        assert await fetch("x") == 7
        group.start_soon(answer, 1, KeyError("no"))
        with pytest.raises(KeyError):
            await fetch("x")
        group.start_soon(answer, 1, 404, "gone")
        with pytest.raises(CallbackError) as raised:
            await fetch("x")
        assert raised.value.reason == (404, "gone")


async def test_the_other_one_of_a_pair_is_a_second_call():
    def both(ok, no):
        ok(1)
        with pytest.warns(CallbackWarning):
            no(ValueError())

    assert await from_callbacks(both)() == 1


async def test_a_pair_by_name_and_one_without_errors():
    def load(url, *, onload, onerror=None):
        onload(url) if url else onerror(LookupError("empty"))

    by_name = from_callbacks(load, success="onload", error="onerror")
    assert await by_name("a") == "a"
    with pytest.raises(LookupError):
        await by_name("")
    assert await from_callbacks(load, success="onload", error=None)("b") == "b"


# refused when it is made


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: promisify(7), "7 is no function"),
        (lambda: promisify(asyncio.sleep), "is an async function"),
        (lambda: promisify(lambda: (yield)), "is a generator function"),
        (lambda: promisify(lambda: None), "no room for a callback at -1"),
        (lambda: promisify(lambda a: None, callback=1), "no room for a callback at 1"),
        (lambda: promisify(lambda a: None, callback="done"), "takes no 'done'"),
        (lambda: promisify(lambda a: None, callback=True), "True is no place"),
        (lambda: promisify(lambda a: None, style="node"), "style='node' is unknown"),
        (lambda: promisify(lambda a: None, results="many"), "results='many' is unknown"),
        (lambda: promisify(lambda a: None, cancel=7), "7 cannot be called"),
        (lambda: promisify(lambda a: None, late=asyncio.sleep), "cannot be called at a cancell"),
        (lambda: promisify(lambda a: None, style="value", as_error=str), "means nothing"),
        (lambda: from_callbacks(lambda a: None), "no room for a callback at -2"),
        (lambda: from_callbacks(lambda a, b: None, success=1, error=1), "both callbacks at 1"),
        (lambda: from_callbacks(lambda a, b: None, as_error=7), "as_error=7 is no function"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make, said):
    with pytest.raises(Misuse, match=said):
        make()


async def test_a_function_that_turns_out_to_be_async_is_told():
    async def real(callback):
        callback(None, 1)

    def disguised(callback):
        return real(callback)

    with pytest.raises(Misuse, match="returned a coroutine"):
        await promisify(disguised)()


def test_outside_of_a_loop_there_is_an_error():
    with pytest.raises(Misuse, match="no event loop runs here"):
        promisify(lambda callback: None)().send(None)


async def test_nothing_is_kept_of_a_call_that_is_over():
    class Value:
        alive = 0

        def __init__(self):
            Value.alive += 1

        def __del__(self):
            Value.alive -= 1

    def ask(callback):
        callback(None, Value())

    for _ in range(50):
        await promisify(ask)()
    gc.collect()
    assert Value.alive == 0
