"""Async functions for code that knows callbacks only."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.lowlevel
import pytest

from penstock import callbackify, promisify, to_async
from penstock.errors import Closed, Lost, Misuse
from tests.resilience.calls import Work, turn_until


async def double(n, *, times=2):
    await anyio.lowlevel.checkpoint()
    if not isinstance(n, int):
        raise TypeError(n)
    return n * times


class Answers(list):
    def __call__(self, *args):
        self.append((*args, threading.get_ident()))


async def test_the_callback_is_called_once_on_the_loop():
    here = threading.get_ident()
    answers = Answers()
    assert callbackify(double)(4, answers) is None
    assert answers == []
    await turn_until(lambda: answers)
    assert answers == [(None, 8, here)]
    callbackify(double)(4, answers, times=3)
    await turn_until(lambda: len(answers) == 2)
    assert answers[1] == (None, 12, here)


async def test_errors_go_to_the_callback():
    answers = Answers()
    callbackify(double)("x", answers)
    await turn_until(lambda: answers)
    assert isinstance(answers[0][0], TypeError)
    assert answers[0][1] is None


async def test_a_pair():
    succeeded, failed = Answers(), Answers()
    pair = callbackify(double, style="success_error")
    pair(4, succeeded, failed)
    pair("x", succeeded, failed)
    await turn_until(lambda: succeeded and failed)
    assert succeeded[0][0] == 8
    assert isinstance(failed[0][0], TypeError)


async def test_from_another_thread_it_runs_where_it_was_made():
    here = threading.get_ident()
    answers = Answers()
    call = callbackify(double)
    thread = threading.Thread(target=call, args=(4, answers))
    thread.start()
    await turn_until(lambda: answers)
    thread.join()
    assert answers == [(None, 8, here)]


async def test_from_a_lent_thread_it_runs_on_the_loop_that_lent_it():
    here = threading.get_ident()
    answers = Answers()
    await to_async(lambda: callbackify(double)(4, answers))()
    await turn_until(lambda: answers)
    assert answers == [(None, 8, here)]


async def test_there_and_back_again():
    assert await promisify(callbackify(double), callback=1)(4) == 8


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_the_callback_raises_goes_to_the_loops_handler():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    calls = []

    def broken(error, value):
        calls.append((error, value))
        raise RuntimeError("in the callback")

    callbackify(double)(4, broken)
    await turn_until(lambda: told)
    assert calls == [(None, 8)]
    assert str(told[0]["exception"]) == "in the callback"
    assert "callback of double" in told[0]["message"]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_what_the_callback_raises_goes_to_the_log_on_trio(caplog):
    def broken(error, value):
        raise RuntimeError("in the callback")

    callbackify(double)(4, broken)
    await turn_until(lambda: caplog.records)
    assert str(caplog.records[0].exc_info[1]) == "in the callback"


def test_a_loop_that_ends_gives_the_callback_an_error(anyio_backend):
    name, options = anyio_backend
    answers = Answers()
    work = None

    async def main():
        nonlocal work
        work = Work()
        callbackify(work)(answers)
        await turn_until(lambda: work.running)
        callbackify(work)(answers)  # not even begun when the loop ends

    anyio.run(main, backend=name, backend_options=options)
    assert work.cancelled == work.started
    assert [type(error) for error, *_ in answers] == [Lost, Lost]


def test_a_closed_loop_is_told():
    async def make():
        return callbackify(double)

    call = asyncio.run(make())
    with pytest.raises(Closed):
        call(4, print)


def test_without_a_loop_there_is_an_error():
    with pytest.raises(Misuse, match="double has no event loop to run on"):
        callbackify(double)(4, print)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: callbackify(7), "7 is no async function"),
        (lambda: callbackify(lambda: 1), "is not async"),
        (lambda: callbackify(double, style="node"), "style='node' is unknown"),
        (callbackify(double), "to be a callback"),
        (lambda: callbackify(double)(4, 5), "to be a callback"),
        (lambda: callbackify(double, style="success_error")(4, print), "to be callbacks"),
    ],
)
def test_what_cannot_work_is_refused(make, said):
    with pytest.raises(Misuse, match=said):
        make()
