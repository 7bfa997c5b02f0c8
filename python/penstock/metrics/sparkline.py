"""A distribution in one line of text."""

from __future__ import annotations

import math

from penstock._native import Distribution

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16


def sparkline(distribution: Distribution, width: int = _WIDTH) -> str:
    """The shape of the values over a logarithmic axis from the least to the greatest bucket.

    At most `width` bars of neighbouring buckets; zeros are left out. Empty without values.
    """
    counts = distribution.bucket_counts
    if not counts:
        return ""
    step = math.ceil(len(counts) / width)
    sums = [sum(counts[at : at + step]) for at in range(0, len(counts), step)]
    highest = max(sums)
    # A bar that stands for something is never as low as one that stands for nothing.
    return "".join(" " if not n else _BARS[math.ceil(n / highest * (len(_BARS) - 1))] for n in sums)


def describe(distribution: Distribution, seconds: bool) -> str:
    """Count, median, 99th percentile and shape; durations with their unit."""
    if not distribution.count:
        return "n=0"
    written = duration if seconds else plain
    p50, p99 = written(distribution.p50), written(distribution.p99)
    return f"n={distribution.count:,} p50={p50} p99={p99} {sparkline(distribution)}".rstrip()


def plain(value: float) -> str:
    """A number in three significant digits, whole ones in full; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.3g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them; a dash for NaN."""
    if math.isnan(seconds):
        return "–"
    if seconds >= 1000:
        return f"{seconds:,.0f} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
