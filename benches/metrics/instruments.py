"""The same histogram and counter in each library, with a way to read back what they counted.

Every contender has a registry of its own, so that nothing global is touched. OpenTelemetry's has a
real reader: without one its instruments do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

# Durations between a tenth of a millisecond and some seconds, as a service sees them.
VALUES = [Random(3).lognormvariate(-4.0, 1.5) for _ in range(1000)]

PROMETHEUS = "one label, bound once by `labels(...)`; its default buckets"
OPENTELEMETRY = (
    "no attributes, its cheapest call, since it has no bound instruments; default explicit "
    "buckets; an InMemoryMetricReader"
)


class Recorder(NamedTuple):
    """What is called, and how often it says it was called in all."""

    call: Callable[..., Any]
    total: Callable[[], int]


def penstock_histogram() -> Recorder:
    from penstock.metrics import Metrics

    bound = Metrics().histogram("requests_seconds", labels=("route",)).bind(route="/users")
    return Recorder(bound.record, lambda: bound.count)


def penstock_counter() -> Recorder:
    from penstock.metrics import Metrics

    bound = Metrics().counter("requests", labels=("route",)).bind(route="/users")
    return Recorder(bound.inc, lambda: int(bound.value))


def prometheus_histogram() -> Recorder:
    from prometheus_client import CollectorRegistry, Histogram

    family = Histogram("requests_seconds", "", ("route",), registry=CollectorRegistry())
    child = family.labels("/users")
    return Recorder(child.observe, partial(_prometheus_sample, family, "requests_seconds_count"))


def prometheus_counter() -> Recorder:
    from prometheus_client import CollectorRegistry, Counter

    family = Counter("requests", "", ("route",), registry=CollectorRegistry())
    child = family.labels("/users")
    return Recorder(child.inc, partial(_prometheus_sample, family, "requests_total"))


def opentelemetry_histogram() -> Recorder:
    reader, meter = opentelemetry_meter()
    return Recorder(
        meter.create_histogram("requests_seconds").record,
        lambda: sum(point.count for point in opentelemetry_points(reader, "requests_seconds")),
    )


def opentelemetry_counter() -> Recorder:
    reader, meter = opentelemetry_meter()
    counter = meter.create_counter("requests")
    return Recorder(
        partial(counter.add, 1),
        lambda: sum(point.value for point in opentelemetry_points(reader, "requests")),
    )


def opentelemetry_meter() -> tuple[Any, Any]:
    """A reader and a meter that reports to it."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    return reader, MeterProvider([reader], shutdown_on_exit=False).get_meter("benches")


def opentelemetry_points(reader: Any, name: str) -> list[Any]:
    """The data points of one instrument; an instrument never used has none."""
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def _prometheus_sample(family: Any, name: str) -> int:
    return sum(
        int(sample.value)
        for metric in family.collect()
        for sample in metric.samples
        if sample.name == name
    )
