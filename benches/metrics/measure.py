"""What `await measure(name, fn)` adds to `await fn()`: calls, errors, in flight, durations.

Each lap runs the bare awaits as well and takes their time off, so the figures are the additions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter, perf_counter_ns
from typing import Any, NamedTuple

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.loops import kept
from benches.metrics.instruments import OPENTELEMETRY, opentelemetry_meter, opentelemetry_points


async def nothing() -> None:
    """A ready coroutine: the cheapest thing that can be measured."""


class Measured(NamedTuple):
    """A measured call of `nothing`, and how many calls were counted in all."""

    call: Callable[[], Awaitable[Any]]
    total: Callable[[], int]


@contextmanager
def added(make: Callable[[], Measured]) -> Iterator[Work]:
    call, count = make()

    async def lap(n: int) -> Lap:
        before = count()
        bare = perf_counter_ns()
        for _ in range(n):
            await nothing()
        started = perf_counter_ns()
        for _ in range(n):
            await call()
        took = Lap.since(started, None)
        return Lap(count() - before, took.nanoseconds - (started - bare))

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


def penstock_measured() -> Measured:
    from penstock.metrics import Metrics

    metrics = Metrics()
    call = partial(metrics.measure, "nothing", nothing)

    def total() -> int:
        snapshot = metrics.snapshot()
        return snapshot["nothing"].count if "nothing" in snapshot else 0

    return Measured(call, total)


def prometheus_measured() -> Measured:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    registry = CollectorRegistry()
    calls = Histogram("call_seconds", "", ("name",), registry=registry).labels("nothing")
    in_flight = Gauge("calls_in_flight", "", ("name",), registry=registry).labels("nothing")
    errors = Counter("call_errors", "", ("name", "type"), registry=registry)

    async def call() -> None:
        in_flight.inc()
        started = perf_counter()
        try:
            await nothing()
        except Exception as error:
            errors.labels("nothing", type(error).__name__).inc()
            raise
        finally:
            calls.observe(perf_counter() - started)
            in_flight.dec()

    def count() -> int:
        return int(registry.get_sample_value("call_seconds_count", {"name": "nothing"}) or 0)

    return Measured(call, count)


def opentelemetry_measured() -> Measured:
    reader, meter = opentelemetry_meter()
    calls = meter.create_histogram("call_seconds")
    in_flight = meter.create_up_down_counter("calls_in_flight")
    errors = meter.create_counter("call_errors")

    async def call() -> None:
        in_flight.add(1)
        started = perf_counter()
        try:
            await nothing()
        except Exception as error:
            errors.add(1, {"error.type": type(error).__name__})
            raise
        finally:
            calls.record(perf_counter() - started)
            in_flight.add(-1)

    return Measured(
        call, lambda: sum(point.count for point in opentelemetry_points(reader, "call_seconds"))
    )


CASES = (
    Case(
        room="metrics",
        name="measure",
        question="What does measuring a call add to a bare await: count, errors, in flight, "
        "durations?",
        contenders=[
            Contender(
                "penstock",
                '`await metrics.measure("nothing", nothing)`',
                partial(added, penstock_measured),
                "penstock",
            ),
            Contender(
                "prometheus_client",
                "a histogram, a gauge and a counter of errors, children bound by `labels(...)`",
                partial(added, prometheus_measured),
                "prometheus-client",
            ),
            Contender(
                "OpenTelemetry SDK",
                f"a histogram, an up-down counter and a counter of errors; {OPENTELEMETRY}",
                partial(added, opentelemetry_measured),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(200e-9), Target(20, "prometheus_client"), Target(20, "OpenTelemetry SDK")],
    ),
)
