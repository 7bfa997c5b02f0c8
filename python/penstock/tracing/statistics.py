"""What tracing has put up with: malformed input and odd uses, which it never raises for."""

from __future__ import annotations

from dataclasses import dataclass

from penstock._native import tracing_statistics

__all__ = ("TracingStatistics", "statistics")


@dataclass(frozen=True, slots=True)
class TracingStatistics:
    """Counts since the process began (in a forked child: since its parent did)."""

    malformed_traceparent: int
    """Headers that were no traceparent, or more than one of them: the trace began anew."""
    malformed_tracestate: int
    """Lists that were left out whole, as the recommendation asks."""
    malformed_baggage: int
    """Members of baggage that were left out."""
    malformed_correlation_id: int
    malformed_binary: int
    foreign_exits: int
    """Blocks that were left where their span or context was not the current one: an async
    generator closed elsewhere, or blocks that overlap. Nothing was put back there."""
    abandoned_spans: int
    """Sampled spans that were dropped before they ended, and so are not kept."""
    changes_after_end: int
    """Attributes, events and the like that came after the span's end, and are not kept."""


def statistics() -> TracingStatistics:
    """What was counted so far in this process. Any thread; under a microsecond."""
    return TracingStatistics(**tracing_statistics())
