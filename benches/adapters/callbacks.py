"""What it costs to await a callback, which comes from another thread or at once."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost, percentile
from benches.loops import kept
from benches.refusal import WrongAnswer

Old = Callable[[int, Callable[[Exception | None, int], None]], None]
New = Callable[[int], Any]


def penstock(old: Old) -> New:
    from penstock import promisify

    return promisify(old)


def by_hand(old: Old) -> New:
    """As it is written everywhere: a future, settled on its loop."""

    async def call(number: int) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def settle(error: Exception | None, value: int) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        def callback(error: Exception | None, value: int) -> None:
            loop.call_soon_threadsafe(settle, error, value)

        old(number, callback)
        return await future

    return call


class Answering:
    """An old API with a thread of its own that calls back."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __call__(self, number: int, callback: Callable[[Exception | None, int], None]) -> None:
        self._asked.put((number, callback))

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            number, callback = asked
            del asked
            if number < 0:
                callback(ValueError(number), 0)
            else:
                callback(None, number)
            del callback

    def close(self) -> None:
        self._asked.put(None)
        self.thread.join()


def at_once(number: int, callback: Callable[[Exception | None, int], None]) -> None:
    if number < 0:
        callback(ValueError(number), 0)
    else:
        callback(None, number)


@contextmanager
def _laps(wrap: Callable[[Old], New], old: Old) -> Iterator[Work]:
    call = wrap(old)

    async def proven() -> None:
        try:
            await call(-1)
        except ValueError:
            return
        raise WrongAnswer("an error that was called back did not come out")

    async def lap(n: int) -> Lap:
        samples = []
        total = 0
        started = perf_counter_ns()
        for number in range(n):
            began = perf_counter_ns()
            total += await call(number)
            samples.append(perf_counter_ns() - began)
        return Lap.since(started, total, samples)

    with kept("asyncio") as run:
        run(proven)  # type: ignore[arg-type]
        yield lambda n: run(partial(lap, n))


@contextmanager
def from_thread(wrap: Callable[[Old], New]) -> Iterator[Work]:
    old = Answering()
    try:
        with _laps(wrap, old) as work:
            yield work
    finally:
        old.close()


BURST = 64


@contextmanager
def bursts(wrap: Callable[[Old], New]) -> Iterator[Work]:
    """So many tasks ask at a time, and the thread answers one after the other."""
    old = Answering()
    call = wrap(old)

    async def lap(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        for first in range(0, n, BURST):
            numbers = range(first, min(first + BURST, n))
            total += sum(await asyncio.gather(*map(call, numbers)))
        return Lap.since(started, total)

    try:
        with kept("asyncio") as run:
            yield lambda n: run(partial(lap, n))
    finally:
        old.close()


def is_sum(n: int, total: Any) -> bool:
    return bool(total == n * (n - 1) // 2)


CASES = (
    Case(
        room="adapters",
        name="callback-from-thread",
        question="How long does it take to ask a thread, and to await its callback?",
        contenders=[
            Contender("penstock", "`promisify(fn)`", partial(from_thread, penstock), "penstock"),
            Contender(
                "future by hand",
                "`create_future`, `call_soon_threadsafe`",
                partial(from_thread, by_hand),
            ),
        ],
        is_right=is_sum,
        figures=[percentile(50), percentile(99)],
        targets=[Target(1, "future by hand")],
    ),
    Case(
        room="adapters",
        name="callback-burst",
        question=f"What does a callback from a thread cost when {BURST} tasks await one each?",
        contenders=[
            Contender("penstock", "`promisify(fn)`", partial(bursts, penstock), "penstock"),
            Contender(
                "future by hand",
                "`create_future`, `call_soon_threadsafe`",
                partial(bursts, by_hand),
            ),
        ],
        is_right=is_sum,
        figures=[cost()],
        targets=[Target(1, "future by hand")],
    ),
    Case(
        room="adapters",
        name="callback-at-once",
        question="What does it cost to await a callback that comes before the function returns?",
        contenders=[
            Contender("penstock", "`promisify(fn)`", partial(_laps, penstock, at_once), "penstock"),
            Contender(
                "future by hand",
                "`create_future`, `call_soon_threadsafe`, as it cannot know",
                partial(_laps, by_hand, at_once),
            ),
        ],
        is_right=is_sum,
        figures=[cost()],
        targets=[Target(2, "future by hand")],
    ),
)
