"""Counting from many threads while others read, end, or fork."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from penstock.metrics import CardinalityWarning, Metrics


@pytest.mark.parametrize("generations", [1, 20])
def test_threads_that_come_and_go_leave_exact_totals(generations: int):
    metrics = Metrics()
    histogram, counter, gauge = metrics.histogram("h"), metrics.counter("c"), metrics.gauge("g")
    ones = np.ones(100)

    def work():
        for _ in range(500):
            histogram.record(1.0)
            counter.inc()
            counter.inc(0.5)
            gauge.inc(2)
            gauge.dec()
            metrics.measure("m", int)
        histogram.record_many(ones)

    for _ in range(generations):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    threads_total = 4 * generations
    assert histogram.count == histogram.sum == threads_total * 600
    assert counter.value == threads_total * 750.0
    assert gauge.value == threads_total * 500
    read = metrics.snapshot()["m"]
    assert (read.count, read.in_flight) == (threads_total * 500, 0)


def test_a_snapshot_of_what_is_being_written_agrees_with_itself():
    metrics = Metrics()
    histogram = metrics.histogram("h")
    stop = threading.Event()
    values = np.array([0.001, 0.01, 0.1, 1.0])

    def work():
        while not stop.is_set():
            histogram.record_many(values)
            with contextlib.suppress(LookupError):
                metrics.measure("m", fail_sometimes)

    def fail_sometimes():
        if histogram.count % 3 == 0:
            raise LookupError

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        before = 0
        for _ in range(500):
            read = histogram.snapshot()
            assert read.count == sum(n for *_, n in read.buckets())
            assert read.count >= before
            if read.count:
                assert 0.001 <= read.min <= read.quantile(0.5) <= read.max <= 1.0
                assert read.min <= read.mean <= read.max
            before = read.count
            called, later = metrics.snapshot().get("m"), metrics.snapshot().get("m")
            if called is not None and later is not None:
                # A thread's ends are read before its beginnings, so calls that came and went in
                # between are still counted; the next reading has their ends.
                assert 0 <= called.in_flight <= 3 + later.count - called.count
                assert called.error_count <= called.count
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert histogram.count % 4 == 0
    assert metrics.snapshot()["m"].in_flight == 0


def test_registries_go_with_their_last_reference():
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            metrics = Metrics()
            histogram = metrics.histogram("h")
            metrics.measure("m", int)
            list(pool.map(histogram.record, [1.0] * 8))
            assert histogram.count == 8
            gone = weakref.ref(metrics)
            del metrics
            # It holds a method of its own, so it goes with the next collection.
            gc.collect()
            assert gone() is None
            histogram.record(1.0)  # a handle outlives its registry
            assert histogram.count == 9


def test_asking_from_many_threads_gives_one_instrument():
    metrics = Metrics()
    start = threading.Barrier(4)

    def ask(_: int) -> list[object]:
        start.wait()
        return [metrics.counter(f"c{n}") for n in range(200)]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(ask, range(4))
    for other in others:
        assert all(a is b for a, b in zip(first, other, strict=True))


def test_new_label_values_from_many_threads_never_exceed_the_bound():
    metrics = Metrics()
    counters = metrics.counter("c", labels=("n",), max_series=50)
    start = threading.Barrier(4)

    def work(_: int) -> None:
        start.wait()
        for n in range(300):
            counters.inc(labels={"n": n})

    with (
        ThreadPoolExecutor(4) as pool,
        pytest.warns(CardinalityWarning, match="share one overflow series") as caught,
    ):
        list(pool.map(work, range(4)))
    assert len(caught) == 1
    assert len(counters.series()) == 51
    assert sum(series.value for series in counters.series()) == 1200


def run(code: str) -> str:
    """Forking is done by a fresh interpreter: pytest's own has threads that would not survive."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_goes_on_from_a_copy():
    code = """
import os, threading
from penstock.metrics import Metrics
metrics = Metrics()
counter, histogram = metrics.counter("c"), metrics.histogram("h")
go, ready = threading.Event(), threading.Event()
def other():
    counter.inc(10); histogram.record(2.0); ready.set(); go.wait()
thread = threading.Thread(target=other); thread.start(); ready.wait()
counter.inc(); histogram.record(1.0)
pid = os.fork()
if pid == 0:
    assert (counter.value, histogram.count) == (11, 2)     # what the parent had, all its threads
    counter.inc(); histogram.record(4.0)
    late = threading.Thread(target=lambda: (counter.inc(100), metrics.counter("new").inc()))
    late.start(); late.join()
    assert (counter.value, histogram.count, histogram.max) == (112, 3, 4.0)
    again = os.fork()
    if again == 0:
        counter.inc()
        os._exit(0 if counter.value == 113 else 3)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
go.set(); thread.join()
assert (counter.value, histogram.count) == (11, 2)         # the child's are its own
print("ok")
"""
    assert run(code) == "ok\n"


def test_no_fork_finds_a_lock_taken():
    """Threads end, appear, read and register without pause while the main thread forks."""
    code = """
import os, signal, threading
from penstock.metrics import Metrics
metrics = Metrics()
histogram, counters = metrics.histogram("h"), metrics.counter("c", labels=("n",), max_series=10**6)
stop = threading.Event()
def brief():
    histogram.record(1.0)
def churn(k):
    n = 0
    while not stop.is_set():
        thread = threading.Thread(target=brief); thread.start(); thread.join()
        histogram.snapshot(); counters.inc(labels={"n": f"{k}-{n}"}); n += 1
        try: metrics.measure("m", int, "x")
        except ValueError: pass
threads = [threading.Thread(target=churn, args=(k,)) for k in range(3)]
for thread in threads: thread.start()
failed = 0
for _ in range(150):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        brief(); histogram.snapshot(); counters.inc(labels={"n": "child"}); metrics.snapshot()
        Metrics().histogram("x").record(1.0)
        os._exit(0)
    failed += os.waitpid(pid, 0)[1] != 0
stop.set()
for thread in threads: thread.join()
print("failed", failed)
"""
    assert run(code) == "failed 0\n"


@pytest.mark.parametrize("call", ["metrics.measure('call', endless)", "asyncio.run(main())"])
def test_the_interpreter_ends_beside_measured_calls_in_daemon_threads(call):
    run(f"""
import asyncio, threading, time
from penstock.metrics import Metrics
metrics, begun = Metrics(), threading.Event()
def endless():
    begun.set()
    while True:
        time.sleep(1e-4)
async def coroutine():
    endless()
async def main():
    await metrics.measure("coroutine", coroutine)
for _ in range(4):
    threading.Thread(target=lambda: {call}, daemon=True).start()
begun.wait()
""")
