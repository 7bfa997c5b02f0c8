"""Snapshots: frozen, mergeable, picklable, readable."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest

from penstock.errors import Misuse
from penstock.metrics import HistogramSnapshot, MeasurementSnapshot, Metrics
from penstock.metrics.sparkline import duration, plain, sparkline


def fail() -> None:
    raise OSError


@pytest.fixture
def registry() -> Metrics:
    registry = Metrics()
    registry.counter("requests", "served").inc(1234)
    registry.gauge("depth").set(2.5)
    registry.histogram("wait_seconds").record_many(np.full(1000, 0.002))
    sizes = registry.histogram("sizes", labels=("route",))
    sizes.record(2048.0, labels={"route": "/a"})
    sizes.record(512.0, labels={"route": "/b"})
    for _ in range(3):
        registry.measure("fetch_user", int)
    with pytest.raises(OSError):
        registry.measure("fetch_user", fail)
    return registry


def test_a_snapshot_is_a_mapping_by_name(registry: Metrics):
    snapshot = registry.snapshot()
    names = ["requests", "depth", "wait_seconds", "sizes", "fetch_user"]
    assert list(snapshot) == names
    assert len(snapshot) == 5
    assert "depth" in snapshot
    with pytest.raises(KeyError):
        snapshot["nonsense"]
    assert snapshot["requests"].value == 1234
    assert snapshot["depth"].value == 2.5
    assert snapshot["wait_seconds"].p99 == 0.002
    assert snapshot["sizes"].find(route="/a").max == 2048
    with pytest.raises(Misuse, match="no series"):
        snapshot["sizes"].find(route="/c")


def test_a_measurement_reads_as_promised(registry: Metrics):
    read = registry.snapshot()["fetch_user"]
    assert (read.count, read.error_count, read.error_rate) == (4, 1, 0.25)
    assert (read.errors, read.cancelled, read.in_flight) == ({"OSError": 1}, 0, 0)
    assert 0 < read.min <= read.p50 <= read.p90 <= read.p99 <= read.p999 <= read.max < 1
    assert read.min <= read.mean <= read.max
    assert read.sum == pytest.approx(read.mean * 4)
    assert read.quantile(0.5) == read.p50


def test_a_snapshot_does_not_move(registry: Metrics):
    snapshot = registry.snapshot()
    registry.counter("requests").inc()
    registry.histogram("wait_seconds").record(1.0)
    registry.measure("fetch_user", int)
    assert snapshot["requests"].value == 1234
    assert snapshot["wait_seconds"].count == 1000
    assert snapshot["fetch_user"].count == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot["requests"].value = 3
    with pytest.raises(AttributeError):
        snapshot["wait_seconds"].distribution.count = 3


def test_a_snapshot_travels(registry: Metrics):
    snapshot = registry.snapshot()
    back = pickle.loads(pickle.dumps(snapshot))
    assert dict(back) == dict(snapshot)
    assert str(back) == str(snapshot)


def test_snapshots_of_two_processes_are_merged():
    def process(seed: int) -> Metrics:
        registry = Metrics()
        registry.counter("c").inc(seed)
        registry.histogram("h").record_many(np.random.default_rng(seed).lognormal(0, 1, 500))
        for _ in range(seed):
            registry.measure("m", int)
        with pytest.raises(OSError):
            registry.measure("m", fail)
        with pytest.raises(ValueError):
            registry.measure("m", int, "x")
        return registry

    one, two = process(3).snapshot(), process(5).snapshot()
    assert one["c"].merge(two["c"]).value == 8
    histogram = one["h"].merge(two["h"])
    assert isinstance(histogram, HistogramSnapshot)
    assert histogram.count == 1000
    called = one["m"].merge(two["m"])
    assert isinstance(called, MeasurementSnapshot)
    assert (called.count, called.errors) == (12, {"OSError": 2, "ValueError": 2})
    assert not hasattr(one, "merge")


def test_a_snapshot_prints_as_a_table(registry: Metrics):
    head, *lines = str(registry.snapshot()).splitlines()
    assert head.split() == [
        *("name", "value", "count", "mean", "p50", "p99", "max", "errors", "in", "flight")
    ]
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["requests"] == ["1,234"]
    assert cells["depth"] == ["2.5"]
    assert cells["wait_seconds"][:5] == ["1,000", "2", "ms", "2", "ms"]
    assert cells['sizes{route="/a"}'][:2] == ["1", "2,048"]
    assert "25.0%" in cells["fetch_user"]
    # Numbers stand below one another: each line's count ends where the head says "count".
    column = head.index("count") + len("count")
    for name, text in (("wait_seconds", "1,000"), ("fetch_user", "4")):
        (line,) = [line for line in lines if line.startswith(name)]
        assert line[:column].endswith(text)
    assert repr(registry.snapshot()) == "<Snapshot instruments=5>"


def test_columns_nobody_fills_are_left_out():
    registry = Metrics()
    assert str(registry.snapshot()) == "no instruments"
    registry.counter("c").inc()
    assert str(registry.snapshot()) == "name  value\nc         1"


def test_a_name_of_seconds_prints_with_its_unit(registry: Metrics):
    assert "p50=2 ms" in repr(registry.histogram("wait_seconds"))
    assert "p50=512" in repr(registry.histogram("sizes", labels=("route",)).bind(route="/b"))


def test_a_sparkline_shows_where_the_values_are():
    registry = Metrics()
    histogram = registry.histogram("h")
    assert sparkline(histogram.snapshot()) == ""
    histogram.record(1.0)
    assert sparkline(histogram.snapshot()) == "█"
    histogram.record_many(np.full(100, 1000.0))
    line = sparkline(histogram.snapshot())
    # One value in a hundred is still seen, gaps are blank, and the line is bounded.
    assert line[0] in "▁▂"
    assert line[-1] == "█"
    assert set(line[1:-1]) == {" "}
    assert len(line) <= 16
    histogram.record_many(np.geomspace(1e-6, 1e6, 10_000))
    assert len(sparkline(histogram.snapshot())) <= 16
    assert len(sparkline(histogram.snapshot(), width=8)) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (3e-9, "3 ns"),
        (1.5e-6, "1.5 µs"),
        (0.0123, "12.3 ms"),
        (1.0, "1 s"),
        (86_400.0, "86,400 s"),
        (math.nan, "–"),
    ],
)
def test_durations_have_a_unit(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1,234"), (2.5, "2.5"), (0.000123456, "0.000123"), (1e300, "1e+300")],
)
def test_numbers_are_short(value: float, text: str):
    assert plain(value) == text


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_are_none_are_printed_too(value: float):
    registry = Metrics()
    registry.gauge("g").set(value)
    assert "g" in str(registry.snapshot())
