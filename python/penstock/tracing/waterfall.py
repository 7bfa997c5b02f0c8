"""A trace as rows for a chart."""

from __future__ import annotations

from typing import NamedTuple

from penstock._native import FinishedSpan

__all__ = ("WaterfallRow",)


class WaterfallRow(NamedTuple):
    """One bar of a waterfall. Times in seconds."""

    name: str
    depth: int
    """Spans above it, as far as they are kept."""
    start: float
    """From the begin of the trace."""
    duration: float
    tracer: str
    status: str
    span: FinishedSpan
    """For whatever else is to be shown."""
