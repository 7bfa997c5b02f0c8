"""Read by type checkers, never run: what the metrics room is inferred to be."""

from __future__ import annotations

from typing import Any, assert_type

from penstock import metrics
from penstock.metrics import (
    Counter,
    CounterFamily,
    Distribution,
    Gauge,
    GaugeFamily,
    Histogram,
    HistogramFamily,
    MeasuredCall,
    Snapshot,
    Timing,
)


def instruments() -> None:
    assert_type(metrics.counter("c"), Counter)
    assert_type(metrics.counter("c", "help", max_series=3), Counter)
    assert_type(metrics.counter("c", "help", ("route",)), CounterFamily)
    assert_type(metrics.counter("c", labels=["route"]).bind(route="/"), Counter)
    assert_type(metrics.gauge("g"), Gauge)
    assert_type(metrics.gauge("g", labels=("a",)), GaugeFamily)
    assert_type(metrics.histogram("h", scale=5), Histogram)
    assert_type(metrics.histogram("h", labels=("a",)), HistogramFamily)
    assert_type(metrics.histogram("h", labels=("a",)).bind(a=1), Histogram)
    assert_type(metrics.histogram("h").snapshot(), Distribution)
    assert_type(metrics.histogram("h").quantile(0.5), float)
    assert_type(metrics.snapshot(), Snapshot)
    metrics.histogram("h", scale=9)  # type: ignore[call-overload]
    metrics.counter("c").inc("1")  # type: ignore[arg-type]
    metrics.counter("c", labels=("a",)).inc(1)  # type: ignore[call-arg]


async def get_user(key: str, *, fresh: bool = False) -> dict[str, int]:
    return {key: int(fresh)}


def half(n: int) -> float:
    return n / 2


async def measure() -> None:
    assert_type(metrics.measure("m", get_user, "1"), MeasuredCall[dict[str, int]])
    assert_type(await metrics.measure("m", get_user, "1", fresh=True), dict[str, int])
    assert_type(metrics.measure("m", half, 3), float)
    assert_type(metrics.measure("m"), Timing)
    with metrics.measure("m") as timing:
        assert_type(timing, Timing)
    async with metrics.measure("m") as timing:
        assert_type(timing.seconds, float)
    metrics.measure("m", half, "3")  # type: ignore[call-overload]


@metrics.measured("x")
async def fetch(key: str) -> int:
    return len(key)


@metrics.measured("y")
def plain(n: int) -> float:
    return half(n)


async def decorated() -> None:
    assert_type(await fetch("k"), int)
    assert_type(plain(1), float)
    await fetch(1)  # type: ignore[arg-type]
    read: Any = metrics.snapshot()["fetch_user"]
    del read
