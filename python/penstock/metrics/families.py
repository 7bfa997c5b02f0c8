"""Instruments with labels: one series per combination of values, and a bound on how many.

A series is found by one look-up in a dict; `bind` does it once and for all. Beyond `max_series` new
combinations share one series, labelled `otel.metric.overflow="true"` as OpenTelemetry asks, so that
a label with an id in it costs a warning and not the memory of the process.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

from penstock._native import Counter, Gauge, Histogram
from penstock.errors import Misuse

LabelValue: TypeAlias = str | int | float | bool
SeriesT = TypeVar("SeriesT", Counter, Gauge, Histogram)

OVERFLOW = {"otel.metric.overflow": "true"}

# Held while something is added to a registry, which is rare, and over a fork, so that a child does
# not find it taken. Reentrant, since a finaliser that runs while it is held may count something.
REGISTERING = threading.RLock()
os.register_at_fork(
    before=REGISTERING.acquire,
    after_in_parent=REGISTERING.release,
    after_in_child=REGISTERING.release,
)


class CardinalityWarning(RuntimeWarning):
    """An instrument has as many series as it may have; further ones share one."""


class _Family(Generic[SeriesT]):
    """The part that counters, gauges and histograms with labels have in common."""

    __slots__ = (
        "_key",
        "_make",
        "_overflow",
        "_overflowed",
        "_series",
        "_width",
        "help",
        "labels",
        "max_series",
        "name",
    )

    def __init__(
        self,
        name: str,
        help: str,
        labels: tuple[str, ...],
        max_series: int,
        make: Callable[[dict[str, str]], SeriesT],
    ) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.max_series = max_series
        self._make: Callable[[dict[str, str]], SeriesT] = make
        self._width = len(labels)
        self._key: Callable[[Mapping[str, LabelValue]], Any] = itemgetter(*labels)
        # Keyed by the value of the one label, or by a tuple of several; always by str, so that 1,
        # True and "1" do not meet by accident of their hashes.
        self._series: dict[Any, SeriesT] = {}
        self._overflow: SeriesT | None = None
        self._overflowed = Counter(f"{name}_overflowed", "")

    def bind(self, **labels: LabelValue) -> SeriesT:
        """The series with these label values, made on first use.

        Keep it where you record: it saves the look-up. Values that are not strings are written as
        `str` writes them. Raises `Misuse` if a label is missing, unknown, or no str, int, float or
        bool. Beyond `max_series` combinations all further ones get the overflow series, with one
        `CardinalityWarning`. Any thread may call it.
        """
        return self._find(labels)

    def series(self) -> tuple[SeriesT, ...]:
        """All series so far, the overflow series last."""
        with REGISTERING:
            found = list(self._series.values())
            if self._overflow is not None:
                found.append(self._overflow)
            return tuple(found)

    @property
    def overflowed(self) -> int:
        """How often a look-up found no room for its label values."""
        return int(self._overflowed.value)

    def _find(self, labels: Mapping[str, LabelValue]) -> SeriesT:
        try:
            if len(labels) == self._width:
                return self._series[self._key(labels)]
        except (KeyError, TypeError):
            pass
        return self._add(labels)

    def _add(self, labels: Mapping[str, LabelValue]) -> SeriesT:
        values = dict(self._written(labels))
        key = self._key(values)
        first_overflow = False
        with REGISTERING:
            series = self._series.get(key)
            if series is None and len(self._series) < self.max_series:
                series = self._series[key] = self._make(values)
            elif series is None:
                first_overflow = self._overflow is None
                if self._overflow is None:
                    self._overflow = self._make(OVERFLOW)
                series = self._overflow
                self._overflowed.inc()
        if first_overflow:
            warnings.warn(
                f"metrics: {self.name!r} has {self.max_series} series, its maximum; "
                f"{values!r} and further new label values share one overflow series. "
                "Drop the label that varies without bound, or raise max_series",
                CardinalityWarning,
                stacklevel=4,
            )
        return series

    def _written(self, labels: Mapping[str, LabelValue]) -> Iterator[tuple[str, str]]:
        if not isinstance(labels, Mapping) or set(labels) != set(self.labels):
            given = sorted(map(str, labels)) if isinstance(labels, Mapping) else repr(labels)
            raise Misuse(
                f"metrics: {self.name!r} has the labels {list(self.labels)}, got {given}",
                hint="give each label one value, and no others",
            )
        for label in self.labels:
            value = labels[label]
            if not isinstance(value, (str, int, float)):
                raise Misuse(
                    f"metrics: label {label!r} of {self.name!r} is "
                    f"{value!r}, which is no str, int, float or bool",
                    hint="write it as a string of few different values",
                )
            # A str subclass, such as a StrEnum's member, is kept by its content.
            yield label, str.__str__(value) if isinstance(value, str) else str(value)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name}{{{', '.join(self.labels)}}} series={len(self._series)}>"


class CounterFamily(_Family[Counter]):
    """Counters with labels. `bind(...)` gives one of them; `inc` finds it by its labels."""

    __slots__ = ()

    def inc(self, n: float = 1, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Adds `n` to the counter with these labels; about 0.2 µs, bound a fifth of it.

        Raises `Misuse` as `bind` and `Counter.inc` do, before anything is counted.
        """
        self._find(labels).inc(n)


class GaugeFamily(_Family[Gauge]):
    """Gauges with labels. `bind(...)` gives one of them; the methods find it by its labels."""

    __slots__ = ()

    def set(self, value: float, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Replaces the value of the gauge with these labels; raises as `bind` and `Gauge.set`."""
        self._find(labels).set(value)

    def inc(self, step: float = 1, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Adds `step` to the gauge with these labels; raises as `bind` and `Gauge.inc` do."""
        self._find(labels).inc(step)

    def dec(self, step: float = 1, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Subtracts `step` from the gauge with these labels; raises as `bind` and `Gauge.dec`."""
        self._find(labels).dec(step)


class HistogramFamily(_Family[Histogram]):
    """Histograms with labels. `bind(...)` gives one of them; `record` finds it by its labels."""

    __slots__ = ("scale",)

    def __init__(
        self,
        name: str,
        help: str,
        labels: tuple[str, ...],
        max_series: int,
        scale: int,
    ) -> None:
        super().__init__(
            name, help, labels, max_series, lambda values: Histogram(name, help, values, scale)
        )
        self.scale = scale

    def record(self, value: float, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Counts `value` in the histogram with these labels; about 0.2 µs, bound a fifth of it.

        Raises `Misuse` as `bind` does; what becomes of odd values is said at `Histogram.record`.
        """
        self._find(labels).record(value)

    def record_many(self, values: Any, /, *, labels: Mapping[str, LabelValue]) -> None:
        """Counts an array of float64 in the histogram with these labels; see `Histogram`."""
        self._find(labels).record_many(values)
