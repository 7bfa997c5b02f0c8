"""Labels: finding a series, refusing what is no label, and the bound on how many."""

from __future__ import annotations

import array
import enum
import warnings

import pytest

from penstock.errors import Misuse
from penstock.metrics import CardinalityWarning, CounterFamily, Metrics


@pytest.fixture
def registry() -> Metrics:
    return Metrics()


def count_users(counters: CounterFamily, users: int) -> None:
    for user in range(users):
        counters.inc(labels={"user": user})


def test_bound_and_by_dict_are_the_same_series(registry: Metrics):
    histograms = registry.histogram("h", labels=("route", "method"))
    bound = histograms.bind(method="GET", route="/users")
    bound.record(1.0)
    histograms.record(2.0, labels={"route": "/users", "method": "GET"})
    histograms.record(3.0, labels={"method": "GET", "route": "/users"})
    assert (bound.count, bound.sum) == (3, 6.0)
    assert histograms.bind(route="/users", method="GET") is bound
    assert dict(bound.labels) == {"route": "/users", "method": "GET"}


def test_every_method_finds_its_series(registry: Metrics):
    a = {"k": "a"}
    counters = registry.counter("c", labels=["k"])
    counters.inc(labels=a)
    counters.inc(2, labels=a)
    gauges = registry.gauge("g", labels=["k"])
    gauges.set(10, labels=a)
    gauges.inc(labels=a)
    gauges.dec(3, labels=a)
    histograms = registry.histogram("h", labels=["k"], scale=5)
    histograms.record_many(array.array("d", [1.0, 2.0]), labels=a)
    assert counters.bind(**a).value == 3
    assert gauges.bind(**a).value == 8
    assert histograms.bind(**a).count == 2
    assert histograms.bind(**a).scale == histograms.scale == 5


def test_values_are_kept_as_text(registry: Metrics):
    counters = registry.counter("c", labels=("v",))

    class Colour(enum.StrEnum):
        RED = "red"

    for value in (200, "200", True, "True", 1, 1.0, "1.0", Colour.RED, "red"):
        counters.inc(labels={"v": value})
    seen = {series.labels["v"]: series.value for series in counters.series()}
    assert seen == {"200": 2, "True": 2, "1": 1, "1.0": 2, "red": 2}
    assert {type(text) for text in seen} == {str}


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"a": "1"},
        {"a": "1", "b": "2", "c": "3"},
        {"a": "1", "x": "2"},
        None,
        "ab",
        [("a", "1")],
    ],
)
def test_other_labels_are_refused_before_anything_is_counted(registry: Metrics, labels: object):
    counters = registry.counter("c", labels=("a", "b"))
    with pytest.raises(Misuse, match=r"'c' has the labels \['a', 'b'\], got"):
        counters.inc(labels=labels)
    assert counters.series() == ()


@pytest.mark.parametrize("value", [None, b"x", ["x"], {}, object()])
def test_other_values_are_refused(registry: Metrics, value: object):
    counters = registry.counter("c", labels=("a",))
    with pytest.raises(Misuse, match="label 'a' of 'c' is"):
        counters.bind(a=value)
    assert counters.series() == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("route", "got the string 'route'"),
        (("a", "a"), "name one twice"),
        (("le",), "reserved"),
        (("__name__",), "reserved"),
        (("1",), "not a valid label name"),
        ((3,), "not a valid label name"),
        (("",), "not a valid label name"),
    ],
)
def test_label_names_that_cannot_be_are_refused(registry: Metrics, labels, message: str):
    with pytest.raises(Misuse, match=message):
        registry.counter("c", labels=labels)
    assert len(registry.snapshot()) == 0


@pytest.mark.parametrize("bound", [0, -1, 1.5, True, "9"])
def test_a_bound_is_a_whole_number(registry: Metrics, bound: object):
    with pytest.raises(Misuse, match="max_series of 'c'"):
        registry.counter("c", labels=("a",), max_series=bound)


def test_beyond_the_bound_series_share_one_and_warn_once(registry: Metrics):
    counters = registry.counter("c", labels=("user",), max_series=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count_users(counters, 3)
    with pytest.warns(CardinalityWarning, match="'c' has 3 series, its maximum") as caught:
        count_users(counters, 10)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert counters.overflowed == 7
    *own, overflow = counters.series()
    assert [series.value for series in own] == [2, 2, 2]
    assert dict(overflow.labels) == {"otel.metric.overflow": "true"}
    assert overflow.value == 7
    read = registry.snapshot()["c"]
    assert read.overflowed == 7
    assert sum(series.value for series in read.series) == 13


def test_the_default_bound_is_that_of_opentelemetry(registry: Metrics):
    counters = registry.counter("c", labels=("user",))
    with pytest.warns(CardinalityWarning):
        count_users(counters, 2100)
    assert len(counters.series()) == 2001


def test_a_warning_that_is_an_error_is_raised_once(registry: Metrics):
    counters = registry.counter("c", labels=("user",), max_series=1)
    counters.inc(labels={"user": "a"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CardinalityWarning):
            counters.inc(labels={"user": "b"})
        counters.inc(labels={"user": "c"})
    assert counters.overflowed == 2


def test_a_family_prints_what_it_is(registry: Metrics):
    counters = registry.counter("c", labels=("a", "b"))
    counters.bind(a=1, b=2)
    assert repr(counters) == "<CounterFamily c{a, b} series=1>"
    assert 'c{a="1", b="2"}' in repr(counters.bind(a=1, b=2))
