"""A trace goes through the queue: from the span that enqueues to the spans that handle."""

from __future__ import annotations

import pytest

from penstock import Message, MessageQueue, Retry, tracing
from penstock.tracing import Sampler, SpanStore, TraceContext, Tracer

tracer = Tracer("tests", store=SpanStore())


def spans_of(trace_id: str) -> list[tracing.FinishedSpan]:
    """What the queue itself has recorded, in the order of the beginnings."""
    spans = sorted(tracing.default_store().trace(trace_id), key=lambda span: span.start_ns)
    return [span for span in spans if span.tracer == "penstock.messages"]


async def test_a_handler_runs_in_a_span_of_the_trace_that_enqueued(url, until):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append((TraceContext.current(), message))
        if message.attempt == 1:
            raise OSError("not yet")

    async with MessageQueue("a", url, retry=Retry(delay=0.0)) as queue:
        with tracer.span("order") as span:
            await queue.enqueue(1, key="k")
        async with queue.consumer(handle):
            await until(queue, depth=0)
    first, second = spans_of(span.trace_id)
    assert {each.parent_id for each in (first, second)} == {span.span_id}
    assert (first.name, first.kind, first.status) == ("messages a", "consumer", "error")
    assert second.status == "unset"
    message = seen[1][1]
    assert second.attributes == {
        "message.id": message.id,
        "message.attempt": 2,
        "message.key": "k",
    }
    assert [context.span_id for context, _ in seen] == [first.span_id, second.span_id]


async def test_what_a_handler_enqueues_goes_on_in_the_trace(until):
    async with MessageQueue[int]("a", "memory://") as queue:

        async def handle(message: Message[int]) -> None:
            if message.data:
                await queue.enqueue(message.data - 1)

        with tracer.span("order") as span:
            await queue.enqueue(2)
        async with queue.consumer(handle):
            await until(queue, depth=0)
    chain = spans_of(span.trace_id)
    assert len(chain) == 3
    assert [each.parent_id for each in chain[1:]] == [each.span_id for each in chain[:-1]]


async def test_without_a_trace_there_is_no_span_and_no_header(url, until):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append((tracing.current_span(), dict(message.headers)))

    async with MessageQueue("a", url) as queue:
        await queue.enqueue(1)
        with Tracer("tests", sampler=Sampler.never()).span("not recorded"):
            await queue.enqueue(2)
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert seen == [(None, {})] * 2


@pytest.mark.parametrize("many", [False, True])
async def test_headers_of_the_callers_own_stay(until, many):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append(dict(message.headers))

    other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with MessageQueue[int]("a", "memory://") as queue:
        with tracer.span("order"):
            headers = {"traceparent": other, "x": "y"}
            if many:
                await queue.enqueue_many([1], headers=headers)
            else:
                await queue.enqueue(1, headers=headers)
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert seen == [{"traceparent": other, "x": "y"}]


async def test_a_malformed_traceparent_is_put_up_with(until):
    done = []

    async def handle(message: Message[int]) -> None:
        done.append(message.data)

    async with MessageQueue[int]("a", "memory://") as queue:
        await queue.enqueue(1, headers={"traceparent": "nonsense"})
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert done == [1]
