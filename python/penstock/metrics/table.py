"""A snapshot as a table of plain text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .snapshots import (
    CounterSnapshot,
    FamilySnapshot,
    GaugeSnapshot,
    HistogramSnapshot,
    MeasurementSnapshot,
    Reading,
)
from .sparkline import duration, plain, sparkline

_HEAD = ("name", "value", "count", "mean", "p50", "p99", "max", "errors", "in flight", "")


def table(readings: Mapping[str, Reading]) -> str:
    """One line a series, columns as wide as their content; columns nobody fills are left out."""
    lines = [line for reading in readings.values() for line in _lines(reading)]
    if not lines:
        return "no instruments"
    used = [at for at in range(len(_HEAD)) if at == 0 or any(line[at] for line in lines)]
    rows = [[row[at] for at in used] for row in (_HEAD, *lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # The first and the last column are text and stand left, numbers stand right.
    left = {0, len(used) - 1} if used[-1] == len(_HEAD) - 1 else {0}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _lines(reading: Reading) -> Iterator[tuple[str, ...]]:
    match reading:
        case FamilySnapshot():
            for series in reading.series:
                yield from _lines(series)
        case CounterSnapshot() | GaugeSnapshot():
            yield (_title(reading.name, reading.labels), plain(reading.value), *[""] * 8)
        case HistogramSnapshot():
            written = duration if reading.name.endswith("_seconds") else plain
            figures = map(written, (reading.mean, reading.p50, reading.p99, reading.max))
            shape = sparkline(reading.distribution)
            title = _title(reading.name, reading.labels)
            yield (title, "", plain(reading.count), *figures, "", "", shape)
        case MeasurementSnapshot():
            figures = map(duration, (reading.mean, reading.p50, reading.p99, reading.max))
            errors = f"{reading.error_rate:.1%}" if reading.error_count else "0"
            shape = sparkline(reading.durations)
            flight = plain(reading.in_flight)
            yield (reading.name, "", plain(reading.count), *figures, errors, flight, shape)


def _title(name: str, labels: Mapping[str, str]) -> str:
    pairs = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}" if pairs else name
