"""One span around nothing, begun, made current and ended: bare, with attributes, not sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.tracing.tracers import OPENTELEMETRY, Spans, opentelemetry_spans, penstock_spans

Make = Callable[[], AbstractContextManager[Spans]]


@contextmanager
def bare(make: Make) -> Iterator[Work]:
    with make() as (begin, total):

        def work(n: int) -> Lap:
            before = total()
            started = perf_counter_ns()
            for _ in range(n):
                with begin("charge"):
                    pass
            took = Lap.since(started, None)
            return Lap(total() - before, took.nanoseconds)

        yield work


@contextmanager
def with_attributes(make: Make, argument: str) -> Iterator[Work]:
    with make() as (begin, total):

        def work(n: int) -> Lap:
            before = total()
            started = perf_counter_ns()
            for _ in range(n):
                attributes = {
                    "order.id": "42",
                    "currency": "EUR",
                    "items": 3,
                    "amount": 12.5,
                    "express": True,
                }
                with begin("charge", **{argument: attributes}):
                    pass
            took = Lap.since(started, None)
            return Lap(total() - before, took.nanoseconds)

        yield work


@contextmanager
def not_sampled(make: Make) -> Iterator[Work]:
    with make() as (begin, total):

        def work(n: int) -> Lap:
            before = total()
            entered = 0
            started = perf_counter_ns()
            for _ in range(n):
                with begin("charge"):
                    entered += 1
            took = Lap.since(started, None)
            # Right only if every block was entered and no span recorded.
            return Lap(entered if total() == before else -1, took.nanoseconds)

        yield work


OURS = "`with tracer.span(...)`, kept in a store of 10,000 spans"
THEIRS = f"`with tracer.start_as_current_span(...)`; {OPENTELEMETRY}"
NONE = "parent-based sampler of ratio 0"

CASES = (
    Case(
        room="tracing",
        name="span",
        question="What does a sampled span cost, begun, current and ended?",
        contenders=[
            Contender("penstock", OURS, partial(bare, penstock_spans), "penstock"),
            Contender(
                "OpenTelemetry SDK",
                THEIRS,
                partial(bare, opentelemetry_spans),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(0.7e-6), Target(25, "OpenTelemetry SDK")],
    ),
    Case(
        room="tracing",
        name="span-attributes",
        question="What does a sampled span with five attributes cost?",
        contenders=[
            Contender(
                "penstock", OURS, partial(with_attributes, penstock_spans, "attributes"), "penstock"
            ),
            Contender(
                "OpenTelemetry SDK",
                THEIRS,
                partial(with_attributes, opentelemetry_spans, "attributes"),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(1.2e-6)],
    ),
    Case(
        room="tracing",
        name="span-not-sampled",
        question="What does a span cost that is not sampled?",
        contenders=[
            Contender(
                "penstock",
                f"`with tracer.span(...)`; {NONE}",
                partial(not_sampled, partial(penstock_spans, sampled=False)),
                "penstock",
            ),
            Contender(
                "OpenTelemetry SDK",
                f"`with tracer.start_as_current_span(...)`; {NONE}",
                partial(not_sampled, partial(opentelemetry_spans, sampled=False)),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(250e-9), Target(17, "OpenTelemetry SDK")],
    ),
)
