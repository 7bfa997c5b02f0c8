"""What it costs to call a blocking function from a loop, and a loop from its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

import anyio.from_thread
import anyio.to_thread

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.loops import kept
from benches.refusal import WrongAnswer

Blocking = Callable[[], int]


def answer() -> int:
    return 1


async def answer_later() -> int:
    return 1


def fails() -> int:
    raise ValueError("over there")


@contextmanager
def to_thread(wrap: Callable[[Blocking], Callable[[], Awaitable[int]]]) -> Iterator[Work]:
    """One call after the other of a function that does nothing."""
    call = wrap(answer)

    async def proven() -> None:
        try:
            await wrap(fails)()
        except ValueError:
            return
        raise WrongAnswer("an error of the thread did not come out")

    async def lap(n: int) -> Lap:
        samples = []
        total = 0
        started = perf_counter_ns()
        for _ in range(n):
            began = perf_counter_ns()
            total += await call()
            samples.append(perf_counter_ns() - began)
        return Lap.since(started, total, samples)

    with kept("asyncio") as run:
        run(proven)  # type: ignore[arg-type]
        yield lambda n: run(partial(lap, n))


@contextmanager
def from_thread(wrap: Callable[[asyncio.AbstractEventLoop], Blocking]) -> Iterator[Work]:
    """A thread that the loop has lent calls back to the loop, one call after the other."""
    from penstock import to_async

    def calls(call: Blocking, n: int) -> Lap:
        samples = []
        total = 0
        started = perf_counter_ns()
        for _ in range(n):
            began = perf_counter_ns()
            total += call()
            samples.append(perf_counter_ns() - began)
        return Lap.since(started, total, samples)

    async def lap(n: int) -> Lap:
        call = wrap(asyncio.get_running_loop())
        if wrap is anyios:
            return await anyio.to_thread.run_sync(calls, call, n)
        return await to_async(calls)(call, n)

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


def ours(fn: Blocking) -> Callable[[], Awaitable[int]]:
    from penstock import to_async

    return to_async(fn)


def back(_loop: object) -> Blocking:
    from penstock import to_sync

    return to_sync(answer_later)


def anyios(_loop: object) -> Blocking:
    return partial(anyio.from_thread.run, answer_later)


def asyncios(loop: asyncio.AbstractEventLoop) -> Blocking:
    return lambda: asyncio.run_coroutine_threadsafe(answer_later(), loop).result()


def all_answered(n: int, total: Any) -> bool:
    return bool(total == n)


CASES = (
    Case(
        room="adapters",
        name="to-thread",
        question="How long does a call of a blocking function take that does nothing?",
        contenders=[
            Contender("penstock", "`to_async(fn)`", partial(to_thread, ours), "penstock"),
            Contender(
                "anyio",
                "`to_thread.run_sync(fn)`",
                partial(to_thread, lambda fn: partial(anyio.to_thread.run_sync, fn)),
                "anyio",
            ),
            Contender(
                "asyncio.to_thread",
                "standard library",
                partial(to_thread, lambda fn: partial(asyncio.to_thread, fn)),
            ),
        ],
        is_right=all_answered,
        figures=[percentile(50), percentile(99)],
        targets=[Target(1, "anyio"), Target(1, "asyncio.to_thread")],
    ),
    Case(
        room="adapters",
        name="back-to-loop",
        question="How long does a thread wait for an async function of the loop that lent it?",
        contenders=[
            Contender("penstock", "`to_sync(fn)()`", partial(from_thread, back), "penstock"),
            Contender("anyio", "`from_thread.run(fn)`", partial(from_thread, anyios), "anyio"),
            Contender(
                "run_coroutine_threadsafe",
                "with `.result()`",
                partial(from_thread, asyncios),
            ),
        ],
        is_right=all_answered,
        figures=[percentile(50), percentile(99)],
        targets=[Target(1, "anyio"), Target(1, "run_coroutine_threadsafe")],
    ),
)
