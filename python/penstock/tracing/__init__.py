"""Follow one request across tasks, threads, workers, queues and services.

A context variable holds what is current; it goes along into tasks and threads by itself, and with
`WorkerPool` into its processes. Spans cost half a microsecond and are kept in bounded memory.
"""

from __future__ import annotations

from penstock._native import (
    Activation,
    FinishedSpan,
    Sampler,
    Span,
    SpanEvent,
    SpanLink,
    SpanStore,
    TraceContext,
    current_span,
    default_store,
)

from .logs import JsonFormatter, LogContext
from .statistics import TracingStatistics, statistics
from .trace import Trace, group
from .tracer import Tracer
from .waterfall import WaterfallRow

__all__ = (
    "Activation",
    "FinishedSpan",
    "JsonFormatter",
    "LogContext",
    "Sampler",
    "Span",
    "SpanEvent",
    "SpanLink",
    "SpanStore",
    "Trace",
    "TraceContext",
    "Tracer",
    "TracingStatistics",
    "WaterfallRow",
    "current_span",
    "default_store",
    "group",
    "statistics",
)
