"""traceparent and tracestate, read from a request's headers and written into those of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost

SPAN = 0x00F067AA0BA902B7
HEADERS = {
    "host": "orders.example",
    "accept": "*/*",
    "traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{SPAN:016x}-01",
    "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
}

Find = Callable[[Any], int]


def penstock_extract() -> tuple[Callable[[Any], Any], Find]:
    from penstock.tracing import TraceContext

    return TraceContext.from_headers, lambda context: int(context.span_id, 16)


def opentelemetry_extract() -> tuple[Callable[[Any], Any], Find]:
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return (
        TraceContextTextMapPropagator().extract,
        lambda context: get_current_span(context).get_span_context().span_id,
    )


@contextmanager
def extracted(make: Callable[[], tuple[Callable[[Any], Any], Find]]) -> Iterator[Work]:
    extract, find = make()

    def work(n: int) -> Lap:
        context: Any = None
        started = perf_counter_ns()
        for _ in range(n):
            context = extract(HEADERS)
        took = Lap.since(started, None)
        return Lap((n, find(context)), took.nanoseconds)

    yield work


def penstock_inject() -> Callable[[dict[str, str]], None]:
    from penstock.tracing import TraceContext

    context = TraceContext.from_headers(HEADERS)
    return lambda headers: headers.update(context.to_headers())


def opentelemetry_inject() -> Callable[[dict[str, str]], None]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    return partial(propagator.inject, context=propagator.extract(HEADERS))


@contextmanager
def injected(make: Callable[[], Callable[[dict[str, str]], None]]) -> Iterator[Work]:
    inject = make()

    def work(n: int) -> Lap:
        headers: dict[str, str] = {}
        started = perf_counter_ns()
        for _ in range(n):
            headers = {}
            inject(headers)
        took = Lap.since(started, None)
        sent = headers["traceparent"].split("-")[2]
        right = headers["tracestate"] == HEADERS["tracestate"]
        return Lap((n, int(sent, 16) if right else 0), took.nanoseconds)

    yield work


CASES = (
    Case(
        room="tracing",
        name="extract",
        question="What does it cost to read traceparent and tracestate from four headers?",
        contenders=[
            Contender(
                "penstock",
                "`TraceContext.from_headers(dict)`, which looks for baggage as well",
                partial(extracted, penstock_extract),
                "penstock",
            ),
            Contender(
                "OpenTelemetry SDK",
                "`TraceContextTextMapPropagator.extract(dict)`",
                partial(extracted, opentelemetry_extract),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == (n, SPAN),
        figures=[cost()],
        targets=[Target(250e-9), Target(10, "OpenTelemetry SDK")],
    ),
    Case(
        room="tracing",
        name="inject",
        question="What does it cost to write traceparent and tracestate into a dict?",
        contenders=[
            Contender(
                "penstock",
                "`headers.update(context.to_headers())` in a lambda",
                partial(injected, penstock_inject),
                "penstock",
            ),
            Contender(
                "OpenTelemetry SDK",
                "`TraceContextTextMapPropagator.inject(dict, context)`",
                partial(injected, opentelemetry_inject),
                "opentelemetry-sdk",
            ),
        ],
        is_right=lambda n, answer: answer == (n, SPAN),
        figures=[cost()],
        targets=[Target(250e-9), Target(5, "OpenTelemetry SDK")],
    ),
)
