"""Read by type checkers, never run: what the tracing room is inferred to be."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from penstock import tracing

tracer = tracing.Tracer("typing")


async def get_user(key: str) -> int:
    return len(key)


def parse(text: str, *, base: int = 10) -> float:
    return int(text, base)


async def calls() -> None:
    call = tracer.trace("fetch", get_user, "123")
    returned: Coroutine[Any, Any, int] = call
    assert_type(await returned, int)
    assert_type(await tracer.trace("fetch", get_user, "123"), int)
    assert_type(tracer.trace("parse", parse, "7", base=8), float)
    tracer.trace("parse", parse, 7)  # type: ignore[call-overload]


def spans() -> None:
    with tracer.span("charge", {"order.id": "42"}) as span:
        assert_type(span, tracing.Span)
        assert_type(span.context, tracing.TraceContext)
    with span.activate() as inside:
        assert_type(inside, tracing.Span)
    with tracing.TraceContext().activate() as context:
        assert_type(context, tracing.TraceContext)
    assert_type(tracer.get_trace(span.trace_id), tracing.Trace | None)
