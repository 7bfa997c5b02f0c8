"""Pipelines with backpressure: sources, stages, sinks, and memory within stated bounds."""

from __future__ import annotations

from .errors import LineError, SourceError
from .run import Run
from .sinks import FileSink, to_file
from .statistics import RunStatistics, StageStatistics, Totals
from .stream import Stream
from .transform import Transform

__all__ = (
    "FileSink",
    "LineError",
    "Run",
    "RunStatistics",
    "SourceError",
    "StageStatistics",
    "Stream",
    "Totals",
    "Transform",
    "to_file",
)
