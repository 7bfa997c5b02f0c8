"""The record of one run: what was found, and how the run itself went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .findings import Findings

__all__ = ("Recovery", "Run", "Sample", "Stage")


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage took per call; percentiles in seconds."""

    name: str
    unit: str
    count: int
    p50: float
    p90: float
    p99: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the run at one moment, taken every 100 ms."""

    seconds: float
    lines: int
    memory: int | None
    queued: int
    busy: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """The flight that made up the most minutes in the air."""

    carrier: str
    flight: int
    route: str
    day: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run."""

    source: Path
    started: datetime
    seconds: float
    lines: int
    quarantined: int
    quarantine: Path
    findings: Findings
    recovery: Recovery | None
    airlines: dict[str, str]
    workers: int
    batches: int
    batch_bytes: int
    largest_stream: int
    utilisation: float
    stages: tuple[Stage, ...]
    samples: tuple[Sample, ...]

    @property
    def peak_memory(self) -> int | None:
        """Bytes: the greatest sum of PSS that a sample saw."""
        return max((s.memory for s in self.samples if s.memory is not None), default=None)
