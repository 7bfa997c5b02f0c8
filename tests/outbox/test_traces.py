"""One trace from the transaction that added an event to the handler of its message."""

from __future__ import annotations

import sqlite3

import anyio

from penstock import Message, MessageQueue, tracing
from penstock.outbox import Event
from penstock.tracing import SpanStore, TraceContext, Tracer

tracer = Tracer("tests", store=SpanStore())


def spans_of(trace_id: str) -> list[tracing.FinishedSpan]:
    """In the order of their beginnings: a message may be handled before the span of its
    publication has ended.
    """
    return sorted(tracing.default_store().trace(trace_id), key=lambda span: span.start_ns)


async def test_through_a_message_queue_to_its_handler(book, until):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append((TraceContext.current(), dict(message.headers)))

    with tracer.span("order") as order:
        (event,) = book.add(1, key="k")
    queue = MessageQueue[int]("orders", book.url)
    async with queue, book.relay(queue) as relay, queue.consumer(handle):
        await until(relay, backlog=0)
        while (await queue.statistics()).depth:
            await anyio.lowlevel.checkpoint()
    publish, handled = spans_of(order.trace_id)
    assert (publish.name, publish.tracer, publish.kind) == (
        "publish placed",
        "penstock.outbox",
        "producer",
    )
    assert publish.parent_id == order.span_id
    assert publish.attributes == {"event.id": event, "event.key": "k"}
    assert handled.name == "messages orders"
    assert handled.parent_id == publish.span_id
    ((context, headers),) = seen
    assert context.span_id == handled.span_id
    assert headers["topic"] == "placed"
    assert publish.span_id in headers["traceparent"]


async def test_a_function_runs_in_the_span_and_gets_its_headers(book, until):
    seen = []

    async def publish(event: Event[int]) -> None:
        seen.append((TraceContext.current(), event.headers["traceparent"]))
        if event.attempt == 1:
            raise OSError("not yet")

    with tracer.span("order") as order:
        book.add(1)
    async with book.relay(publish) as relay:
        await until(relay, backlog=0)
    first, second = spans_of(order.trace_id)
    assert {each.parent_id for each in (first, second)} == {order.span_id}
    assert (first.status, second.status) == ("error", "unset")
    for span, (context, header) in zip((first, second), seen, strict=True):
        assert context.span_id == span.span_id
        assert span.span_id in header


async def test_without_a_trace_there_is_no_span(book, ledger, until):
    before = len(tracing.default_store().spans())
    book.add(1)
    async with book.relay(ledger) as relay:
        await until(relay, backlog=0)
        book.connection.execute("BEGIN")
        book.outbox.add(book.connection, topic="a", payload=2, headers={"x": "y"})
        book.connection.execute("COMMIT")
        await until(relay, backlog=0)
    assert len(tracing.default_store().spans()) == before
    assert [dict(event.headers) for event in ledger.events] == [{}, {"x": "y"}]


async def test_a_failing_queue_ends_its_spans_with_the_error(book):
    from penstock.errors import EngineError

    class Failing:
        codec = book.outbox.codec

        def open(self) -> None: ...
        def close(self) -> None: ...

        async def forward(self, messages: object) -> None:
            failed.set()
            raise EngineError("down") from sqlite3.OperationalError("down")

    failed = anyio.Event()
    with tracer.span("order") as order:
        book.add(1)
    async with book.relay(Failing()):
        await failed.wait()
    (span, *_) = spans_of(order.trace_id)
    assert span.events[0].name == "exception"
