"""Median, p90 and p99 of one histogram; prometheus_client and OpenTelemetry cannot tell them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, cost

QUANTILES = (0.5, 0.9, 0.99)
RECORDED = [Random(5).lognormvariate(-4.0, 1.5) for _ in range(100_000)]
EXACT = [sorted(RECORDED)[int(q * len(RECORDED))] for q in QUANTILES]
# What every contender is set to, or better, and a little for the rank between two values.
ERROR = 0.022 + 0.003


@contextmanager
def penstock_quantiles() -> Iterator[Work]:
    from penstock.metrics import Metrics

    histogram = Metrics().histogram("requests_seconds")
    for value in RECORDED:
        histogram.record(value)
    quantile = histogram.quantile

    def work(n: int) -> Lap:
        started = perf_counter_ns()
        answers = [[quantile(q) for q in QUANTILES] for _ in range(n)]
        return Lap.since(started, answers)

    yield work


@contextmanager
def ddsketch_quantiles() -> Iterator[Work]:
    from ddsketch import DDSketch

    sketch = DDSketch(relative_accuracy=0.022)
    for value in RECORDED:
        sketch.add(value)
    quantile = sketch.get_quantile_value

    def work(n: int) -> Lap:
        started = perf_counter_ns()
        answers = [[quantile(q) for q in QUANTILES] for _ in range(n)]
        return Lap.since(started, answers)

    yield work


@contextmanager
def hdrhistogram_quantiles() -> Iterator[Work]:
    from hdrh.histogram import HdrHistogram

    # Whole microseconds from 1 µs to an hour; it takes integers only.
    histogram = HdrHistogram(1, 3_600_000_000, 2)
    for value in RECORDED:
        histogram.record_value(max(1, round(value * 1e6)))
    percents = [100 * q for q in QUANTILES]

    def work(n: int) -> Lap:
        started = perf_counter_ns()
        answers = [histogram.get_percentile_to_value_dict(percents) for _ in range(n)]
        took = Lap.since(started, None)
        seconds = [[answer[percent] / 1e6 for percent in percents] for answer in answers]
        return Lap(seconds, took.nanoseconds)

    yield work


def close_enough(n: int, answers: list[list[float]]) -> bool:
    return len(answers) == n and all(
        abs(seen - exact) <= ERROR * exact
        for answer in answers
        for seen, exact in zip(answer, EXACT, strict=True)
    )


CASES = (
    Case(
        room="metrics",
        name="three-quantiles",
        question="What do the median, p90 and p99 of 100,000 recorded durations cost?",
        contenders=[
            Contender(
                "penstock", "three calls of `quantile`; scale 4", penstock_quantiles, "penstock"
            ),
            Contender(
                "ddsketch",
                "three calls of `get_quantile_value`; relative accuracy 2.2 %, as penstock's",
                ddsketch_quantiles,
                "ddsketch",
            ),
            Contender(
                "hdrhistogram",
                "one call of `get_percentile_to_value_dict`; two digits, whole microseconds",
                hdrhistogram_quantiles,
                "hdrhistogram",
            ),
        ],
        is_right=close_enough,
        figures=[cost()],
        targets=[Target(7, "ddsketch"), Target(7, "hdrhistogram")],
        least=10,
    ),
)
