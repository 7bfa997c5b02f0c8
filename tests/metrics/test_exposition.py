"""What Prometheus reads, checked by a reader of its own that knows the formats' rules."""

from __future__ import annotations

import re

import pytest

from penstock.metrics import Metrics

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Exposed:
    """Types by family, helps, and samples by name and labels. Raises for what breaks a rule."""

    def __init__(self, text: str, *, openmetrics: bool) -> None:
        self.types: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        lines = text.splitlines()
        if openmetrics:
            assert lines.pop() == "# EOF"
        current = ""
        for line in lines:
            if line.startswith("# "):
                _, what, name, said = line.split(" ", 3)
                into = {"TYPE": self.types, "HELP": self.helps}[what]
                assert name not in into, "a family comes once"
                into[name] = said
                current = name
                continue
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name.startswith(current), "samples stand below their family"
            pairs = LABEL.findall(labels or "")
            assert "".join(f'{k}="{v}",' for k, v in pairs).rstrip(",") == (labels or "")
            key = name, frozenset(pairs)
            assert key not in self.samples, "a sample comes once"
            self.samples[key] = float(value)

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]


def exposed(metrics: Metrics, *, openmetrics: bool = False) -> Exposed:
    return Exposed(metrics.exposition(openmetrics=openmetrics), openmetrics=openmetrics)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_counters_and_gauges(openmetrics):
    metrics = Metrics()
    metrics.counter("orders", "orders taken\nso far").inc(3)
    metrics.counter("jobs_total").inc(2.5)
    metrics.gauge("depth", "how deep").set(-1.5)
    family = metrics.counter("calls", "calls", labels=("route", "http.status"))
    family.inc(7, labels={"route": 'a"b\\c\nd', "http.status": "200"})
    metrics.gauge("never_bound", labels=("x",))
    found = exposed(metrics, openmetrics=openmetrics)
    suffix = "" if openmetrics else "_total"
    assert found.types == {
        f"orders{suffix}": "counter",
        f"jobs{suffix}": "counter",
        "depth": "gauge",
        f"calls{suffix}": "counter",
    }
    assert found.helps[f"orders{suffix}"] == r"orders taken\nso far"
    assert found.value("orders_total") == 3
    assert found.value("jobs_total") == 2.5
    assert found.value("depth") == -1.5
    assert found.value("calls_total", route=r"a\"b\\c\nd", http_status="200") == 7


@pytest.mark.parametrize("scale", [3, 4, 5])
def test_a_histogram_counts_exactly_at_bounds_that_never_move(scale):
    metrics = Metrics()
    seconds = metrics.histogram("wait_seconds", labels=("route",), scale=scale).bind(route="/")
    sizes = metrics.histogram("size_bytes", scale=scale)
    before = exposed(metrics)
    values = [0.0, 2**-14, 0.001, 0.5, 0.5000001, 1.0, 63.9, 64.0, 65.0, 1e6]
    for value in values:
        seconds.record(value)
        sizes.record(value)
    after = exposed(metrics)
    bounds = [2.0**n for n in range(-14, 7)]
    for bound in bounds:
        assert after.value("wait_seconds_bucket", route="/", le=repr(bound)) == sum(
            value <= bound for value in values
        )
    for n in range(16):
        bound = 4.0**n
        assert after.value("size_bytes_bucket", le=repr(bound)) == sum(
            value <= bound for value in values
        )
    assert after.value("wait_seconds_bucket", route="/", le="+Inf") == len(values)
    assert after.value("wait_seconds_count", route="/") == len(values)
    assert after.value("wait_seconds_sum", route="/") == pytest.approx(sum(values))
    assert before.samples.keys() == after.samples.keys()
    assert set(before.samples.values()) == {0.0}


async def test_a_measurement_is_its_durations_errors_and_calls_under_way():
    metrics = Metrics()

    def fails() -> None:
        raise LookupError

    for _ in range(3):
        metrics.measure("fetch.user", int)
    with pytest.raises(LookupError):
        metrics.measure("fetch.user", fails)
    with metrics.measure("fetch.user"):
        found = exposed(metrics)
    assert found.types == {
        "fetch_user_seconds": "histogram",
        "fetch_user_errors_total": "counter",
        "fetch_user_cancelled_total": "counter",
        "fetch_user_in_flight": "gauge",
    }
    assert found.value("fetch_user_seconds_count") == 4
    assert found.value("fetch_user_errors_total", type="LookupError") == 1
    assert found.value("fetch_user_in_flight") == 1


def test_names_that_become_the_same_are_kept_apart():
    metrics = Metrics()
    metrics.gauge("a.b").set(1)
    metrics.gauge("a_b").set(2)
    metrics.gauge("a/b-c").set(3)
    found = exposed(metrics)
    assert [found.value(name) for name in ("a_b", "a_b_2", "a_b_c")] == [1, 2, 3]


def test_nothing_is_an_answer_too():
    assert Metrics().exposition() == ""
    assert Metrics().exposition(openmetrics=True) == "# EOF\n"


def test_special_numbers():
    metrics = Metrics()
    for name, value in (("a", float("inf")), ("b", 1e300), ("c", 2.0**53)):
        metrics.gauge(name).set(value)
    text = metrics.exposition()
    assert "a +Inf\n" in text
    assert "b 1e+300\n" in text
    assert exposed(metrics).value("c") == 2.0**53
