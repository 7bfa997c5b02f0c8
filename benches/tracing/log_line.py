"""One log line as JSON with the ids of the current span: the whole call of a logger, unwritten."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns

from benches.case import Case, Contender, Lap, Target, Work, cost


class Kept(logging.Handler):
    """Formats, and keeps the last line in place of writing it."""

    line = ""
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.line = self.format(record)
        self.count += 1


def ours() -> logging.Formatter:
    from penstock.tracing import JsonFormatter

    return JsonFormatter()


def by_hand() -> logging.Formatter:
    """What services have in the standard library's terms."""
    from penstock.tracing import TraceContext

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            context = TraceContext.current()
            return json.dumps(
                {
                    "time": self.formatTime(record),
                    "level": record.levelname,
                    "logger": record.name,
                    "message": record.getMessage(),
                    "trace_id": context.trace_id,
                    "span_id": context.span_id,
                }
            )

    return Formatter()


@contextmanager
def logged(make: Callable[[], logging.Formatter]) -> Iterator[Work]:
    from penstock.tracing import Tracer

    handler = Kept()
    handler.setFormatter(make())
    logger = logging.Logger("orders.desk")  # noqa: LOG001 - no other handlers
    logger.addHandler(handler)

    def work(n: int) -> Lap:
        before = handler.count
        with Tracer("bench").span("sell") as span:
            started = perf_counter_ns()
            for number in range(n):
                logger.info("sold %d", number)
            took = Lap.since(started, None)
        line = json.loads(handler.line)
        is_right = (line["trace_id"], line["message"]) == (span.trace_id, f"sold {n - 1}")
        return Lap(handler.count - before if is_right else 0, took.nanoseconds)

    yield work


CASES = (
    Case(
        room="tracing",
        name="log-line",
        question="What does a log line cost as JSON, with the ids of its trace?",
        contenders=[
            Contender(
                "penstock",
                "`logger.info` with `JsonFormatter`",
                partial(logged, ours),
                "penstock",
            ),
            Contender(
                "json.dumps",
                "`logger.info` with a formatter of `json.dumps` and `formatTime`",
                partial(logged, by_hand),
            ),
        ],
        is_right=lambda n, answer: answer == n,
        figures=[cost()],
        targets=[Target(2.5e-6)],
    ),
)
