"""How long a stage of the run took, or a step of its sagas."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Stage",)


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
