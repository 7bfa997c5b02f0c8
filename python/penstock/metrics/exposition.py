"""Instruments as text for Prometheus: the format of version 0.0.4, or OpenMetrics 1.0.

A distribution is written as a classic histogram with bounds that never move, so that rates of its
buckets mean something: powers of two from 61 µs to 64 s for what is in seconds, powers of four from
1 to 10⁹ for all else. Our own buckets have these bounds, so the counts are exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from penstock._native import Distribution

from .snapshots import (
    CounterSnapshot,
    FamilySnapshot,
    GaugeSnapshot,
    HistogramSnapshot,
    MeasurementSnapshot,
    Reading,
)

__all__ = ("OPEN_METRICS", "TEXT", "text_of")

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_SECONDS = tuple(2.0**n for n in range(-14, 7))
_OTHERS = tuple(4.0**n for n in range(16))
_UNFIT = re.compile(r"[^A-Za-z0-9_:]")

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[str, Labels, float]


def text_of(readings: Iterable[tuple[str, str, Reading]], *, openmetrics: bool = False) -> str:
    """What a scrape is answered: name, help and reading of every instrument."""
    taken: set[str] = set()
    lines: list[str] = []
    for name, help_text, reading in readings:
        for kind, family, said, samples in _families(name, help_text, reading):
            exposed = _free(family, taken)
            # Prometheus counts the suffix to the family's name, OpenMetrics does not.
            is_total = kind == "counter"
            titled = f"{exposed}_total" if is_total and not openmetrics else exposed
            if said:
                lines.append(f"# HELP {titled} {_escaped(said, quotes=openmetrics)}")
            lines.append(f"# TYPE {titled} {kind}")
            for suffix, labels, value in samples:
                lines.append(f"{exposed}{suffix}{_labelled(labels)} {_number(value)}")
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n" if lines else ""


def _families(
    name: str, help_text: str, reading: Reading
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Type, name, help and samples of each family that one instrument makes."""
    series: tuple[object, ...] = (reading,)
    if isinstance(reading, FamilySnapshot):
        series = reading.series
        if not series:
            return
    base = _UNFIT.sub("_", name)
    match series[0]:
        case CounterSnapshot():
            counted = [("_total", s.labels, s.value) for s in series]  # type: ignore[attr-defined]
            yield "counter", base.removesuffix("_total"), help_text, counted
        case GaugeSnapshot():
            yield "gauge", base, help_text, [("", s.labels, s.value) for s in series]  # type: ignore[attr-defined]
        case HistogramSnapshot():
            bounds = _SECONDS if base.endswith("seconds") else _OTHERS
            samples = [x for s in series for x in _buckets(s.distribution, s.labels, bounds)]  # type: ignore[attr-defined]
            yield "histogram", base, help_text, samples
        case MeasurementSnapshot() as measured:
            durations = list(_buckets(measured.durations, {}, _SECONDS))
            yield "histogram", f"{base}_seconds", f"calls of {name}", durations
            errors: list[Sample] = [
                ("_total", {"type": kind}, n) for kind, n in measured.errors.items()
            ]
            if errors:
                yield "counter", f"{base}_errors", f"calls of {name} that failed", errors
            cancelled: list[Sample] = [("_total", {}, measured.cancelled)]
            yield "counter", f"{base}_cancelled", f"calls of {name} that were cancelled", cancelled
            under_way: list[Sample] = [("", {}, measured.in_flight)]
            yield "gauge", f"{base}_in_flight", f"calls of {name} under way", under_way


def _buckets(found: Distribution, labels: Labels, bounds: tuple[float, ...]) -> Iterator[Sample]:
    counts = found.buckets()
    at = below = 0
    for bound in bounds:
        while at < len(counts) and counts[at][1] <= bound:
            below += counts[at][2]
            at += 1
        yield "_bucket", {**labels, "le": _number(bound)}, below
    yield "_bucket", {**labels, "le": "+Inf"}, found.count
    yield "_sum", labels, found.sum if found.count else 0.0
    yield "_count", labels, found.count


def _free(family: str, taken: set[str]) -> str:
    """Two of our names may be one for Prometheus, which would refuse the whole answer."""
    free, number = family, 1
    while free in taken:
        number += 1
        free = f"{family}_{number}"
    taken.add(free)
    return free


def _labelled(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{_UNFIT.sub("_", name)}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
