"""What instruments said at one moment: small frozen objects that print, merge and pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from penstock._native import Counter, Distribution, Gauge, Histogram, Measurement
from penstock.errors import Misuse

from .families import CounterFamily, GaugeFamily, HistogramFamily


@dataclass(frozen=True, slots=True)
class CounterSnapshot:
    """A counter's sum; an `int` as long as only whole numbers were added."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def merge(self, other: CounterSnapshot) -> CounterSnapshot:
        """The sum of both, as of two processes that count the same thing."""
        return CounterSnapshot(self.name, self.value + other.value, self.labels)


@dataclass(frozen=True, slots=True)
class GaugeSnapshot:
    """A gauge's value. There is no `merge`: what two gauges mean together is not ours to know."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class _Distributed:
    """Reads the distribution below; NaN where there is no value."""

    __slots__ = ()

    def _distribution(self) -> Distribution:
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many values were counted."""
        return self._distribution().count

    @property
    def sum(self) -> float:
        """The sum of the values."""
        return self._distribution().sum

    @property
    def mean(self) -> float:
        """The mean."""
        return self._distribution().mean

    @property
    def min(self) -> float:
        """The least value, exactly."""
        return self._distribution().min

    @property
    def max(self) -> float:
        """The greatest value, exactly."""
        return self._distribution().max

    @property
    def p50(self) -> float:
        """The median."""
        return self._distribution().p50

    @property
    def p90(self) -> float:
        """The 90th percentile."""
        return self._distribution().p90

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return self._distribution().p99

    @property
    def p999(self) -> float:
        """The 99.9th percentile."""
        return self._distribution().p999

    def quantile(self, q: float, /) -> float:
        """The value below or at which a share `q` lies; raises `Misuse` unless 0 ≤ q ≤ 1."""
        return self._distribution().quantile(q)


@dataclass(frozen=True, slots=True)
class HistogramSnapshot(_Distributed):
    """A histogram's distribution, with its usual figures as attributes."""

    name: str
    distribution: Distribution
    labels: Mapping[str, str] = field(default_factory=dict)

    def _distribution(self) -> Distribution:
        return self.distribution

    def merge(self, other: HistogramSnapshot) -> HistogramSnapshot:
        """Both together; nothing is lost, in whatever order snapshots are merged."""
        both = self.distribution.merge(other.distribution)
        return HistogramSnapshot(self.name, both, self.labels)


@dataclass(frozen=True, slots=True)
class MeasurementSnapshot(_Distributed):
    """The calls of one operation.

    `count` and the figures of duration, in seconds, are those of the calls that succeeded or
    failed. `errors` maps the exception types to how often each came; `cancelled` calls are in
    neither. `in_flight` is how many were under way.
    """

    name: str
    durations: Distribution
    errors: Mapping[str, int]
    cancelled: int
    in_flight: int

    def _distribution(self) -> Distribution:
        return self.durations

    @property
    def error_count(self) -> int:
        """How many calls failed."""
        return sum(self.errors.values())

    @property
    def error_rate(self) -> float:
        """The share of `count` that failed; 0 if there was no call."""
        return self.error_count / self.count if self.count else 0.0

    def merge(self, other: MeasurementSnapshot) -> MeasurementSnapshot:
        """Both together, as of two processes that do the same thing."""
        kinds = {*self.errors, *other.errors}
        return MeasurementSnapshot(
            self.name,
            self.durations.merge(other.durations),
            {kind: self.errors.get(kind, 0) + other.errors.get(kind, 0) for kind in sorted(kinds)},
            self.cancelled + other.cancelled,
            self.in_flight + other.in_flight,
        )


ReadingT = TypeVar("ReadingT", CounterSnapshot, GaugeSnapshot, HistogramSnapshot)


@dataclass(frozen=True, slots=True)
class FamilySnapshot(Generic[ReadingT]):
    """The series of an instrument with labels; `overflowed` look-ups found no room."""

    name: str
    series: tuple[ReadingT, ...]
    overflowed: int

    def find(self, **labels: object) -> ReadingT:
        """The series with these label values; raises `Misuse` if there is none."""
        wanted = {label: str(value) for label, value in labels.items()}
        for reading in self.series:
            if dict(reading.labels) == wanted:
                return reading
        raise Misuse(
            f"metrics: {self.name!r} has no series {wanted!r} among its {len(self.series)}",
            hint="series exist from their first bind or record on; look through .series",
        )


Reading: TypeAlias = (
    CounterSnapshot
    | GaugeSnapshot
    | HistogramSnapshot
    | MeasurementSnapshot
    | FamilySnapshot[CounterSnapshot]
    | FamilySnapshot[GaugeSnapshot]
    | FamilySnapshot[HistogramSnapshot]
)


class Snapshot(Mapping[str, Any]):
    """All instruments of a registry at one moment, by name; `print` shows a table.

    Values are the `…Snapshot` classes of this room; what `isinstance` cannot tell a type checker is
    `Any`, so that `snapshot["fetch_user"].p99` reads as it stands.
    """

    __slots__ = ("_readings",)

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._readings = dict(readings)

    def __getitem__(self, name: str) -> Any:
        return self._readings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readings)

    def __len__(self) -> int:
        return len(self._readings)

    def __str__(self) -> str:
        from .table import table

        return table(self._readings)

    def __repr__(self) -> str:
        return f"<Snapshot instruments={len(self._readings)}>"


def read(instrument: object) -> Reading:
    """The snapshot of one instrument."""
    match instrument:
        case Counter():
            return _counter(instrument)
        case Gauge():
            return _gauge(instrument)
        case Histogram():
            return _histogram(instrument)
        case CounterFamily():
            counters = tuple(map(_counter, instrument.series()))
            return FamilySnapshot(instrument.name, counters, instrument.overflowed)
        case GaugeFamily():
            gauges = tuple(map(_gauge, instrument.series()))
            return FamilySnapshot(instrument.name, gauges, instrument.overflowed)
        case HistogramFamily():
            histograms = tuple(map(_histogram, instrument.series()))
            return FamilySnapshot(instrument.name, histograms, instrument.overflowed)
        case Measurement():
            in_flight, cancelled, errors, durations = instrument.totals()
            return MeasurementSnapshot(instrument.name, durations, errors, cancelled, in_flight)
    raise AssertionError(instrument)


def _counter(counter: Counter) -> CounterSnapshot:
    return CounterSnapshot(counter.name, counter.value, dict(counter.labels))


def _gauge(gauge: Gauge) -> GaugeSnapshot:
    return GaugeSnapshot(gauge.name, gauge.value, dict(gauge.labels))


def _histogram(histogram: Histogram) -> HistogramSnapshot:
    return HistogramSnapshot(histogram.name, histogram.snapshot(), dict(histogram.labels))
