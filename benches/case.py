"""What a bench is made of: one question, its contenders, the right answer, the targets.

A contender's `open` gives a context manager; inside it, `work(n)` does n operations and returns a
`Lap`: the answer, to be checked, and the time of the part that counts. Queues, pools and loops
are made outside that part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from benches.units import SECONDS, Unit


@dataclass(frozen=True, slots=True)
class Lap:
    """One timed stretch of work; `samples` are nanoseconds of single operations, where taken.

    `counts` are what else was counted meanwhile, by the names of the figures drawn from them.
    """

    answer: Any
    nanoseconds: int
    samples: Sequence[int] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def since(cls, started: int, answer: Any, samples: Sequence[int] = ()) -> Lap:
        """The lap that began at `perf_counter_ns()` = `started` and ends now."""
        return cls(answer, perf_counter_ns() - started, samples)


Work = Callable[[int], Lap]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. `settings` says how it is used and why that is its best form."""

    name: str
    settings: str
    open: Callable[[], AbstractContextManager[Work]]
    package: str | None = None  # the distribution it comes from; None: the standard library


@dataclass(frozen=True, slots=True)
class Figure:
    """A number drawn from a lap of n operations."""

    name: str
    unit: Unit
    of: Callable[[Lap, int], float]


@dataclass(frozen=True, slots=True)
class Target:
    """With a peer: be at least `limit` times as fast as it. Without: the figure's own limit."""

    limit: float
    peer: str | None = None
    figure: str | None = None  # None: the case's first figure


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the results. The first contender is the one the ratios are about."""

    room: str
    name: str
    question: str
    contenders: Sequence[Contender]
    is_right: Callable[[int, Any], bool]
    figures: Sequence[Figure]
    targets: Sequence[Target] = field(default=())
    least: int = 1000  # operations in the smallest lap; larger laps are multiples of it
    shared: Sequence[str] = ()  # distributions that all contenders use, such as uvloop or numpy
    without_gil: bool = False  # measured by a free-threaded interpreter, and by no other

    @property
    def row(self) -> str:
        return f"{self.room}/{self.name}"


def rate(unit: Unit) -> Figure:
    """Operations per second."""
    return Figure("rate", unit, lambda lap, n: n * 1e9 / lap.nanoseconds)


def byte_rate(unit: Unit, size: int) -> Figure:
    """Bytes per second, where each operation moves `size` bytes."""
    return Figure("rate", unit, lambda lap, n: n * size * 1e9 / lap.nanoseconds)


def cost() -> Figure:
    """Seconds per operation."""
    return Figure("cost", SECONDS, lambda lap, n: lap.nanoseconds / n / 1e9)


def percentile(percent: int) -> Figure:
    """The given percentile of the lap's single operations, in seconds."""

    def of(lap: Lap, _n: int) -> float:
        ordered = sorted(lap.samples)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1e9

    return Figure(f"p{percent}", SECONDS, of)


def longest() -> Figure:
    """The slowest of the lap's single operations, in seconds."""
    return Figure("longest", SECONDS, lambda lap, _n: max(lap.samples) / 1e9)
