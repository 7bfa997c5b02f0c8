"""Instruments as text for Prometheus: the format of version 0.0.4, or OpenMetrics 1.0.

A distribution is written as a classic histogram with bounds that never move, so that rates of its
buckets mean something: powers of two from 61 µs to 64 s for what is in seconds, powers of four from
1 to 10⁹ for all else. Our own buckets have these bounds, so the counts are exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

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


def _bounds(*values: float) -> tuple[tuple[float, str], ...]:
    # Written as OpenMetrics wants it, in both formats: a series that changes its text is another.
    return tuple((value, repr(value)) for value in values)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


_SECONDS = _bounds(*(2.0**n for n in range(-14, 7)))
_OTHERS = _bounds(*(4.0**n for n in range(16)))
_UNFIT = re.compile(r"[^A-Za-z0-9_:]")

Labels: TypeAlias = Mapping[str, str]
Write: TypeAlias = Callable[[str], Iterator[str]]
"""Gives the lines of a family's samples, for the name that it gets."""


def text_of(readings: Iterable[tuple[str, str, Reading]], *, openmetrics: bool = False) -> str:
    """What a scrape is answered: name, help and reading of every instrument."""
    taken: set[str] = set()
    lines: list[str] = []
    for name, help_text, reading in readings:
        for kind, family, said, write in _families(name, help_text, reading):
            exposed = _free(family, taken)
            # Prometheus counts the suffix to the family's name, OpenMetrics does not.
            titled = f"{exposed}_total" if kind == "counter" and not openmetrics else exposed
            if said:
                lines.append(f"# HELP {titled} {_escaped(said, quotes=openmetrics)}")
            lines.append(f"# TYPE {titled} {kind}")
            lines.extend(write(exposed))
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n" if lines else ""


def _families(name: str, help_text: str, reading: Reading) -> Iterator[tuple[str, str, str, Write]]:
    """Type, name, help and samples of each family that one instrument makes."""
    series: tuple[Any, ...] = (reading,)
    if isinstance(reading, FamilySnapshot):
        series = reading.series
        if not series:
            return
    base = _UNFIT.sub("_", name)
    match series[0]:
        case CounterSnapshot():
            counts = [(each.labels, each.value) for each in series]
            yield "counter", base.removesuffix("_total"), help_text, _plain("_total", counts)
        case GaugeSnapshot():
            values = [(each.labels, each.value) for each in series]
            yield "gauge", base, help_text, _plain("", values)
        case HistogramSnapshot():
            bounds = _SECONDS if base.endswith("seconds") else _OTHERS
            found = [(each.labels, each.distribution) for each in series]
            yield "histogram", base, help_text, partial(_distributions, found, bounds)
        case MeasurementSnapshot() as calls:
            durations = partial(_distributions, [({}, calls.durations)], _SECONDS)
            yield "histogram", f"{base}_seconds", f"calls of {name}", durations
            if calls.errors:
                errors = _plain("_total", [({"type": k}, n) for k, n in calls.errors.items()])
                yield "counter", f"{base}_errors", f"calls of {name} that failed", errors
            cancelled = _plain("_total", [({}, calls.cancelled)])
            yield "counter", f"{base}_cancelled", f"calls of {name} that were cancelled", cancelled
            under_way = _plain("", [({}, calls.in_flight)])
            yield "gauge", f"{base}_in_flight", f"calls of {name} under way", under_way


def _plain(suffix: str, series: list[tuple[Labels, float]]) -> Write:
    def write(name: str) -> Iterator[str]:
        for labels, value in series:
            pairs = _pairs(labels)
            yield f"{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {_number(value)}"

    return write


def _distributions(
    series: list[tuple[Labels, Distribution]], bounds: tuple[tuple[float, str], ...], name: str
) -> Iterator[str]:
    for labels, found in series:
        pairs = _pairs(labels)
        bucket = f'{name}_bucket{{{pairs}{"," if pairs else ""}le="'
        counts = found.buckets()
        counts.append((math.inf, math.inf, 0))
        at = below = 0
        for bound, text in bounds:
            while counts[at][1] <= bound:
                below += counts[at][2]
                at += 1
            yield f'{bucket}{text}"}} {below}'
        yield f'{bucket}+Inf"}} {found.count}'
        pairs = f"{{{pairs}}}" if pairs else ""
        yield f"{name}_sum{pairs} {_number(found.sum if found.count else 0.0)}"
        yield f"{name}_count{pairs} {found.count}"


def _free(family: str, taken: set[str]) -> str:
    """Two of our names may be one for Prometheus, which would refuse the whole answer."""
    free, number = family, 1
    while free in taken:
        number += 1
        free = f"{family}_{number}"
    taken.add(free)
    return free


def _pairs(labels: Labels) -> str:
    return ",".join(
        f'{_UNFIT.sub("_", name)}="{_escaped(value)}"' for name, value in labels.items()
    )


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
