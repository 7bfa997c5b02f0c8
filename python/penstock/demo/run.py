"""The record of one run: what was found, and how the run itself went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .comparison import Comparison
from .findings import Findings
from .rebooking.outcome import Rebookings
from .recovery import Recovery
from .stage import Stage

__all__ = ("Run", "Sample")


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the run at one moment, taken every 100 ms."""

    seconds: float
    read: int
    """Bytes of the file, as far as they are read; of a zip, bytes of its content."""
    total: int
    """Bytes there are to read; 0 until the file is open."""
    lines: int
    analysed: int
    """Flights that came back from a worker."""
    memory: int | None
    """Bytes of PSS; None where it cannot be measured."""
    queued: int
    """Batches waiting for a worker."""
    busy: int
    """Workers with a batch."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run."""

    source: Path
    started: datetime
    seconds: float
    """Of the first half: from the file to the findings."""
    lines: int
    quarantined: int
    quarantine: Path
    findings: Findings
    recovery: Recovery | None
    airlines: dict[str, str]
    workers: int
    batches: int
    largest_batch: int
    """Bytes of array data."""
    largest_stream: int
    """Bytes of the longest pickle stream that went to or came from a worker."""
    utilisation: float
    stages: tuple[Stage, ...]
    samples: tuple[Sample, ...]
    rebookings: Rebookings | None = None
    """The second half; None if no flight was cancelled."""

    comparison: Comparison | None = None
    """The old statistic beside the new one."""

    @property
    def total_seconds(self) -> float:
        """Of both halves."""
        return self.seconds + (0.0 if self.rebookings is None else self.rebookings.seconds)

    @property
    def peak_memory(self) -> int | None:
        """Bytes: the greatest sum of PSS that a sample or a moment of either half saw."""
        seen = [sample.memory for sample in self.samples]
        if self.rebookings is not None:
            seen.append(self.rebookings.peak_memory)
        return max((memory for memory in seen if memory is not None), default=None)
