"""One more in a counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.metrics.instruments import (
    OPENTELEMETRY,
    PROMETHEUS,
    Recorder,
    opentelemetry_counter,
    penstock_counter,
    prometheus_counter,
)


@contextmanager
def counted(make: Callable[[], Recorder]) -> Iterator[Work]:
    increase, count = make()

    def work(n: int) -> Lap:
        before = count()
        started = perf_counter_ns()
        for _ in range(n):
            increase()
        took = Lap.since(started, None)
        return Lap(count() - before, took.nanoseconds)

    yield work


CASES = (
    Case(
        room="metrics",
        name="count",
        question="What does it cost to increase a bound counter by one?",
        contenders=[
            Contender(
                "penstock",
                "`inc()` of a counter bound to one label",
                partial(counted, penstock_counter),
                "penstock",
            ),
            Contender(
                "prometheus_client",
                f"`inc()`; {PROMETHEUS.partition(';')[0]}",
                partial(counted, prometheus_counter),
                "prometheus-client",
            ),
            Contender(
                "OpenTelemetry SDK",
                f"`add(1)`; {OPENTELEMETRY}",
                partial(counted, opentelemetry_counter),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(7, "prometheus_client")],
    ),
)
