"""Counters, gauges, and the registry that hands them out."""

from __future__ import annotations

import math
import pickle

import pytest

import penstock
from penstock import metrics
from penstock.errors import Misuse
from penstock.metrics import Counter, Gauge, Histogram, Metrics


@pytest.fixture
def registry() -> Metrics:
    return Metrics()


def test_a_counter_counts_whole_numbers_exactly(registry: Metrics):
    counter = registry.counter("c", "things")
    counter.inc()
    counter.inc(2**60)
    assert counter.value == 2**60 + 1
    assert isinstance(counter.value, int)
    assert (counter.name, counter.help, dict(counter.labels)) == ("c", "things", {})
    counter.inc(0.5)
    assert counter.value == float(2**60 + 1) + 0.5
    assert "Counter c " in repr(counter)


def test_a_counter_takes_large_integers_and_zero(registry: Metrics):
    counter = registry.counter("c")
    counter.inc(0)
    counter.inc(0.0)
    assert counter.value == 0
    counter.inc(2**70)
    assert counter.value == float(2**70)


@pytest.mark.parametrize("n", [-1, -0.5, math.nan, math.inf, -(2**70)])
def test_a_counter_refuses_to_shrink(registry: Metrics, n: float):
    counter = registry.counter("requests")
    with pytest.raises(Misuse, match=r"counter 'requests' only grows, by finite steps: got inc\("):
        counter.inc(n)
    assert counter.value == 0


@pytest.mark.parametrize("n", ["1", [], object(), 1j])
def test_a_counter_refuses_what_is_no_number(registry: Metrics, n: object):
    with pytest.raises(Misuse, match="counter 'c' takes a number, got"):
        registry.counter("c").inc(n)


def test_a_gauge_goes_up_and_down(registry: Metrics):
    gauge = registry.gauge("depth")
    assert gauge.value == 0
    gauge.set(5)
    gauge.inc()
    gauge.inc(2.5)
    gauge.dec()
    gauge.dec(10)
    assert gauge.value == -2.5
    gauge.set(math.inf)
    assert gauge.value == math.inf
    gauge.set(math.nan)
    assert math.isnan(gauge.value)
    assert repr(gauge).startswith("<Gauge depth")


@pytest.mark.parametrize("step", [math.nan, math.inf, -math.inf])
def test_a_gauge_refuses_steps_it_could_never_leave(registry: Metrics, step: float):
    gauge = registry.gauge("g")
    for move in (gauge.inc, gauge.dec):
        with pytest.raises(Misuse, match="gauge 'g' moves by finite steps"):
            move(step)
    assert gauge.value == 0


def test_the_same_name_is_the_same_instrument(registry: Metrics):
    assert registry.counter("c") is registry.counter("c", "said later")
    assert registry.gauge("g") is registry.gauge("g")
    assert registry.histogram("h", scale=5) is registry.histogram("h", scale=5)
    family = registry.counter("f", labels=("a", "b"))
    assert family is registry.counter("f", "", ("a", "b"))
    assert Metrics().counter("c") is not registry.counter("c")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.gauge("c"), "'c' is a counter already, and was asked for as a gauge"),
        (lambda m: m.counter("c", labels=("a",)), r"with labels \['a'\]"),
        (lambda m: m.histogram("h", scale=5), "a histogram of scale 4 already"),
        (lambda m: m.counter("f", labels=("b", "a")), r"labels \['a', 'b'\] already"),
        (lambda m: m.measure("c"), "asked for as a measurement"),
        (lambda m: m.counter("m"), "'m' is a measurement already"),
    ],
)
def test_the_same_name_for_something_else_is_refused(registry: Metrics, ask, message: str):
    registry.counter("c")
    registry.histogram("h")
    registry.counter("f", labels=("a", "b"))
    registry.measure("m", int)
    with pytest.raises(Misuse, match=message):
        ask(registry)
    assert list(registry.snapshot()) == ["c", "h", "f", "m"]


@pytest.mark.parametrize("name", ["", "1st", "fetch user", "a{b}", "ä", "x" * 257, None, 3, []])
def test_names_that_cannot_be_exported_are_refused(registry: Metrics, name: object):
    for make in (registry.counter, registry.gauge, registry.histogram, registry.measure):
        with pytest.raises(Misuse, match="not a valid instrument name"):
            make(name)
    with pytest.raises(Misuse, match="not a valid instrument name"):
        registry.measured(name)
    assert len(registry.snapshot()) == 0


@pytest.mark.parametrize("name", ["a", "http.server.duration", "app:rate", "_x", "GET/users-1"])
def test_names_of_both_worlds_are_taken(registry: Metrics, name: str):
    registry.counter(name).inc()
    assert registry.snapshot()[name].value == 1


def test_a_scale_that_cannot_be_leaves_no_name_behind(registry: Metrics):
    for labels in ((), ("a",)):
        with pytest.raises(Misuse, match="scale"):
            registry.histogram("h", "", labels, scale=9)
    assert len(registry.snapshot()) == 0


@pytest.mark.parametrize("make", [Counter, Gauge, Histogram])
def test_instruments_do_not_travel(make):
    with pytest.raises(Misuse, match="cannot be pickled") as caught:
        pickle.dumps(make("n", ""))
    assert "snapshot" in caught.value.hint


def test_labels_of_an_instrument_cannot_be_changed():
    labels = {"a": "1"}
    counter = Counter("c", "", labels)
    labels["a"] = "2"
    assert dict(counter.labels) == {"a": "1"}
    with pytest.raises(TypeError):
        counter.labels["a"] = "3"


def test_the_room_is_a_registry_of_the_process():
    assert penstock.metrics is metrics
    counter = metrics.counter("tests.room")
    counter.inc()
    assert metrics.snapshot()["tests.room"].value >= 1
    assert metrics.counter("tests.room") is counter
