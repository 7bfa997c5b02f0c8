"""What only threads that truly run at once can break: bindings, the collector, one-shot objects.

These pass under a global lock too, where they prove little.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from penstock import Queue
from penstock.metrics import Metrics
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown

THREADS = 4

# With a global lock a full collection of all that a test run has piled up would hold everybody.
HAS_LOCK = getattr(sys, "_is_gil_enabled", lambda: True)()
GENERATION = 0 if HAS_LOCK else 2


def at_once(*functions: Callable[[], object]) -> list[object]:
    """Starts all functions in threads of their own in the same moment; what they returned."""
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> object:
        start.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


class Onlooker:
    """Looks at objects from a thread, and has the collector stop the world, until told to end."""

    def __init__(self, *looks: Callable[[], object]) -> None:
        self.looks = looks
        self.ended = threading.Event()

    def __call__(self) -> None:
        while not self.ended.is_set():
            for look in self.looks:
                look()
            gc.collect(GENERATION)
            time.sleep(0.001)  # It looks on; the others are to work.


@pytest.mark.parametrize("maxsize", [1, 2, 64, 0])
def test_every_way_in_and_out_at_once_hands_each_item_over_once(maxsize):
    queue = Queue(maxsize)
    left = threading.Semaphore(0)

    def put_singly(k: int) -> None:
        for n in range(2000):
            queue.put((k, n))

    def put_in_batches(k: int) -> None:
        for n in range(0, 2000, 20):
            queue.put_many((k, m) for m in range(n, n + 20))

    def put_impatiently(k: int) -> None:
        for n in range(2000):
            while True:
                with contextlib.suppress(QueueFull):
                    queue.put((k, n), timeout=0.001)
                    break

    def putter(k: int, way: Callable[[int], None]) -> Callable[[], None]:
        def run() -> None:
            way(k)
            left.release()

        return run

    def get_singly() -> list[tuple[int, int]]:
        return list(queue)

    def get_in_batches() -> list[tuple[int, int]]:
        got = []
        with contextlib.suppress(QueueShutDown):
            while True:
                got += queue.get_many(7)
        return got

    def get_impatiently() -> list[tuple[int, int]]:
        got = []
        with contextlib.suppress(QueueShutDown):
            while True:
                with contextlib.suppress(QueueEmpty):
                    got.append(queue.get(timeout=0.001))
        return got

    async def take() -> list[tuple[int, int]]:
        return [item async for item in queue]

    ways = (put_singly, put_in_batches, put_impatiently)
    onlooker = Onlooker(queue.statistics, queue.qsize, lambda: repr(queue))

    def end() -> None:
        for _ in ways:
            left.acquire()
        queue.shutdown()
        onlooker.ended.set()

    outcomes = at_once(
        get_singly,
        get_in_batches,
        get_impatiently,
        lambda: asyncio.run(take()),
        *(putter(k, way) for k, way in enumerate(ways)),
        onlooker,
        end,
    )
    received = outcomes[:4]
    assert Counter(item for got in received for item in got) == Counter(
        (k, n) for k in range(len(ways)) for n in range(2000)
    )
    for got in received:
        for k in range(len(ways)):
            own = [n for producer, n in got if producer == k]
            assert own == sorted(own)


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("attempt", range(15))
def test_a_shutdown_amid_puts_and_gets_accounts_for_every_item(immediate, attempt):
    queue = Queue(8)

    def put() -> int:
        for n in range(10**6):
            try:
                queue.put(n)
            except QueueShutDown:
                return n
        raise AssertionError

    def get() -> int:
        return sum(1 for _ in queue)

    def end() -> int:
        while queue.statistics().got < 20:
            pass
        queue.shutdown(immediate=immediate)
        return 0

    first, second, *got, _ = at_once(put, put, get, get, end)
    figures = queue.statistics()
    assert figures.put == first + second
    assert figures.got == figures.put, "each was taken or dropped"
    assert immediate or sum(got) == figures.put


def test_an_operation_that_two_threads_step_is_done_by_one():
    queue = Queue()
    operations = [queue.aput(n) for n in range(10_000)]
    at = [0, 0]

    def step_all(me: int) -> int:
        done = 0
        for n, operation in enumerate(operations):
            at[me] = n
            for _ in range(500):  # Neck and neck, or the two never meet.
                if at[1 - me] >= n:
                    break
            operation.renew()  # Without a turn's budget it would ask for a loop.
            try:
                operation.send(None)
            except StopIteration:
                done += 1
            except (RuntimeError, ValueError):
                pass  # The other one was here before or is at it, or the turn was over.
        return done

    done = sum(at_once(partial(step_all, 0), partial(step_all, 1)))
    items = queue.get_many(2 * len(operations))
    assert len(items) == done > 0
    assert len(set(items)) == done


def test_queues_come_and_go_in_all_threads():
    def churn() -> None:
        for _ in range(300):
            queue = Queue(4)
            queue.put(queue)
            queue.put_many([queue.get, object(), [queue]])

    at_once(*[churn] * THREADS, lambda: [gc.collect(GENERATION) for _ in range(20)])


def test_all_instruments_at_once_count_exactly_while_they_are_read():
    metrics = Metrics()
    counter, gauge, histogram = metrics.counter("c"), metrics.gauge("g"), metrics.histogram("h")
    labelled = metrics.counter("l", labels=("k",))

    async def operation() -> None:
        pass

    async def measured() -> None:
        for _ in range(500):
            await metrics.measure("m", operation)

    def work() -> None:
        for n in range(500):
            counter.inc()
            gauge.inc(2)
            gauge.dec()
            histogram.record(0.5)
            labelled.inc(labels={"k": n % 5})
            with metrics.measure("block"):
                metrics.measure("m", int)
        asyncio.run(measured())

    onlooker = Onlooker(metrics.snapshot, histogram.snapshot, labelled.series)
    ended = threading.Barrier(THREADS, action=onlooker.ended.set)
    at_once(*[lambda: (work(), ended.wait())] * THREADS, onlooker)
    total = 500 * THREADS
    assert (counter.value, gauge.value, histogram.count) == (total, total, total)
    assert sum(series.value for series in labelled.series()) == total
    read = metrics.snapshot()
    assert (read["m"].count, read["block"].count) == (2 * total, total)
    assert read["m"].in_flight == read["block"].in_flight == 0
