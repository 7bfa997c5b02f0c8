"""The same histogram from four threads at once, where a lock would show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.metrics.instruments import (
    OPENTELEMETRY,
    PROMETHEUS,
    VALUES,
    Recorder,
    opentelemetry_histogram,
    penstock_histogram,
    prometheus_histogram,
)

THREADS = 4


@contextmanager
def recorded(make: Callable[[], Recorder]) -> Iterator[Work]:
    record, count = make()

    def share(n: int) -> None:
        for _ in range(n // THREADS // len(VALUES)):
            for value in VALUES:
                record(value)

    def work(n: int) -> Lap:
        before = count()
        threads = [Thread(target=share, args=(n,)) for _ in range(THREADS)]
        started = perf_counter_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = Lap.since(started, None)
        return Lap(count() - before, took.nanoseconds)

    yield work


CASES = (
    Case(
        room="metrics",
        name="record-4-threads",
        question="What does it cost per duration when four threads record in one histogram?",
        contenders=[
            Contender(
                "penstock",
                "`record` of a histogram bound to one label; scale 4",
                partial(recorded, penstock_histogram),
                "penstock",
            ),
            Contender(
                "prometheus_client",
                f"`observe`; {PROMETHEUS}",
                partial(recorded, prometheus_histogram),
                "prometheus-client",
            ),
            Contender(
                "OpenTelemetry SDK",
                f"`record`; {OPENTELEMETRY}",
                partial(recorded, opentelemetry_histogram),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(80e-9)],
        least=THREADS * len(VALUES),
    ),
)
