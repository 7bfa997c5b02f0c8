"""One duration into a histogram: the call that stands in every request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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


@contextmanager
def recorded(make: Callable[[], Recorder]) -> Iterator[Work]:
    record, count = make()

    def work(n: int) -> Lap:
        before = count()
        started = perf_counter_ns()
        for _ in range(n // len(VALUES)):
            for value in VALUES:
                record(value)
        took = Lap.since(started, None)
        return Lap(count() - before, took.nanoseconds)

    yield work


def ddsketch_histogram() -> Recorder:
    from ddsketch import DDSketch

    sketch = DDSketch(relative_accuracy=0.022)
    return Recorder(sketch.add, lambda: int(sketch.count))


CASES = (
    Case(
        room="metrics",
        name="record",
        question="What does it cost to record one duration in a bound histogram?",
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
            Contender(
                "ddsketch",
                "`add`; no labels and no lock; relative accuracy 2.2 %, as penstock's",
                partial(recorded, ddsketch_histogram),
                "ddsketch",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[
            Target(60e-9),
            Target(11, "prometheus_client"),
            Target(60, "OpenTelemetry SDK"),
            Target(9, "ddsketch"),
        ],
    ),
)
