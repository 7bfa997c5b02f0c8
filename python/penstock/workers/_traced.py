"""How a call takes its caller's trace context along, and brings back the spans that ended in it.

Only calls made where a context is active carry one; for the others nothing is different.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock._native import FinishedSpan, TraceContext, default_store

__all__ = ("call_inside", "finished_spans", "keep_spans")


def call_inside(
    context: bytes, function: Callable[..., Any], arguments: Any, keywords: dict[str, Any]
) -> Any:
    """In the worker: call `function` with the caller's context as the current one."""
    with TraceContext.from_bytes(context).activate():
        return function(*arguments, **keywords)


def finished_spans() -> list[FinishedSpan]:
    """In the worker: the spans to send back, which are then the pool's.

    One task runs here at a time, so they are those of the task; and what threads of tasks before
    it have ended since.
    """
    return default_store().take()


def keep_spans(spans: Sequence[FinishedSpan]) -> None:
    """In the pool: put them into the process's store."""
    if spans:
        default_store().add(spans)
