"""Log lines with the ids of what they belong to."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import queue
import time
from datetime import UTC, datetime

import anyio.to_thread
import pytest

from penstock.errors import Misuse
from penstock.tracing import JsonFormatter, LogContext, SpanStore, TraceContext, Tracer

tracer = Tracer("test", store=SpanStore())


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("orders.desk")  # noqa: LOG001 - no other test's handlers
    logger.addHandler(handler)
    return logger


@pytest.fixture
def log():
    """A logger of its own, and what it wrote."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    return logger_of(handler), lambda: [
        json.loads(line, parse_constant=refuse) for line in out.getvalue().splitlines()
    ]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_times_are_those_of_the_records():
    formatter = JsonFormatter()
    for created, text in (
        (1.25, "1970-01-01T00:00:01.250000Z"),
        (1.75, "1970-01-01T00:00:01.750000Z"),
        (1e9 + 0.5, "2001-09-09T01:46:40.500000Z"),
        (2.0, "1970-01-01T00:00:02.000000Z"),
    ):
        record = logging.makeLogRecord({"msg": "x", "created": created})
        assert json.loads(formatter.format(record))["time"] == text


def test_a_line_says_when_what_and_who(log):
    logger, lines = log
    before = time.time()
    logger.warning("sold %d of %s", 3, "pears")
    [line] = lines()
    assert list(line) == ["time", "level", "logger", "message"]
    assert line["message"] == "sold 3 of pears"
    assert (line["level"], line["logger"]) == ("WARNING", "orders.desk")
    when = datetime.fromisoformat(line["time"])
    assert when.tzinfo == UTC
    assert before - 1e-6 <= when.timestamp() <= time.time()


def test_the_ids_of_the_span_are_in_it(log):
    logger, lines = log
    with TraceContext().replace(correlation_id="order-42").activate(), tracer.span("sell") as span:
        logger.info("inside")
        ids = (span.trace_id, span.span_id)
    logger.info("outside")
    inside, outside = lines()
    assert (inside["trace_id"], inside["span_id"]) == ids
    assert inside["correlation_id"] == "order-42"
    assert not {"trace_id", "span_id", "correlation_id"} & set(outside)


async def test_they_follow_into_threads(log):
    logger, lines = log
    with tracer.span("sell") as span:
        await anyio.to_thread.run_sync(logger.info, "in a thread")
    assert lines()[0]["trace_id"] == span.trace_id


def test_extras_are_fields(log):
    logger, lines = log
    extra = {"order": 7, "tags": ["a", "b"], "ratio": 0.5, "none": None, "what": object}
    logger.info("x", extra=extra)
    [line] = lines()
    assert line["order"] == 7
    assert line["tags"] == ["a", "b"]
    assert (line["ratio"], line["none"]) == (0.5, None)
    assert line["what"] == "<class 'object'>"


def test_an_extra_takes_no_other_field_s_place():
    formatter = JsonFormatter(fields={"service": "orders"})
    record = logging.makeLogRecord({"msg": "real", "levelname": "ERROR", "name": "desk"})
    extra = {"level": "INFO", "time": "never", "logger": "fake", "exception": "none"}
    extra |= {"service": "fake", "stack": "no", "level_": "another"}
    vars(record).update(extra)
    pairs = json.loads(formatter.format(record), object_pairs_hook=list)
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names))
    line = dict(pairs)
    assert (line["level"], line["logger"], line["service"]) == ("ERROR", "desk", "orders")
    assert line["time"] != "never"
    assert not {"exception", "stack"} & set(line)
    assert (line["time_"], line["logger_"], line["service_"]) == ("never", "fake", "fake")
    assert {line["level_"], line["level__"]} == {"INFO", "another"}
    with pytest.raises(Misuse, match="are called as what is in every line"):
        JsonFormatter(fields={"level": "INFO"})


class Awkward:
    def __repr__(self) -> str:
        raise LookupError


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: {2}}, {("a",): 1}, Awkward(), b"\xff", "\ud800"]
)
def test_no_value_makes_it_raise(log, value):
    logger, lines = log
    circle = []
    circle.append(circle)
    logger.info("x", extra={"value": value, "circle": circle, "a\nb": 1})
    logger.info("%d", "no number")
    logger.info(value)
    first, second, _ = lines()
    assert "value" in first
    assert first["a\nb"] == 1
    assert "cannot be formatted" in second["message"]


def test_a_line_has_no_break_inside(log):
    logger, lines = log
    try:
        raise LookupError("lost\nand found")
    except LookupError:
        logger.exception("it\r\nbroke \u2028 here", stack_info=True)
    [line] = lines()
    assert line["message"] == "it\r\nbroke \u2028 here"
    assert "LookupError: lost\nand found" in line["exception"]
    assert line["stack"].startswith("Stack (most recent call last)")


def test_fields_are_in_every_line():
    formatter = JsonFormatter(fields={"service": "orders", "shard": 3})
    line = json.loads(formatter.format(logging.makeLogRecord({"msg": "x"})))
    assert (line["service"], line["shard"]) == ("orders", 3)


def test_a_filter_takes_the_ids_along_to_another_thread():
    out = io.StringIO()
    last = logging.StreamHandler(out)
    last.setFormatter(JsonFormatter())
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    first = logging.handlers.QueueHandler(waiting)
    first.addFilter(LogContext())
    logger = logger_of(first)
    listener = logging.handlers.QueueListener(waiting, last)
    listener.start()
    with tracer.span("sell") as span:
        logger.info("inside")
    logger.info("outside")
    listener.stop()
    inside, outside = map(json.loads, out.getvalue().splitlines())
    assert inside["trace_id"] == span.trace_id
    assert "correlation_id" not in inside
    assert "trace_id" not in outside


def test_the_filter_serves_formats_that_are_text():
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s %(trace_id)s %(correlation_id)s"))
    handler.addFilter(LogContext(absent="none"))
    logger = logger_of(handler)
    with tracer.span("sell") as span:
        logger.info("a")
    logger.info("b")
    assert out.getvalue() == f"a {span.trace_id} none\nb none none\n"
    with pytest.raises(Misuse, match="absent=None is no text"):
        LogContext(absent=None)
