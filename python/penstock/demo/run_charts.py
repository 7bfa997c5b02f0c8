"""Charts of the run itself: how long stages took, and what was going on when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from .stage import Stage
from .svg import WIDTH, Plot, Word, dot, element, line, mark, polyline, rect, text
from .wording import duration, integer

__all__ = ("Line", "latencies", "timeline")


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity over the run: (seconds, value) points, its style class, how to word a value."""

    name: str
    style: str
    unit: str
    points: Sequence[tuple[float, float]]
    word: Word


def latencies(stages: Sequence[Stage]) -> str:
    """p50, p90, p99 and the longest call of each stage, on a scale of powers of ten."""
    pitch = 34
    plot = Plot(height=8 + pitch * len(stages) + 36, left=158, top=8, bottom=36, right=14)
    seen = [t for stage in stages for t in (stage.p50, stage.greatest) if t > 0] or [1e-3, 1.0]
    low, high = 10.0 ** floor(log10(min(seen))), 10.0 ** ceil(log10(max(seen)))
    x = plot.across(low, max(high, low * 10), logarithmic=True)
    parts = plot.bottom_axis(x, _power, "time per call, in powers of ten", ruled=True)
    for index, stage in enumerate(stages):
        middle = plot.top + (index + 0.5) * pitch
        said = (
            f"{stage.name}, per {stage.unit}, {integer(stage.count)} times: "
            f"p50 {duration(stage.p50)}, p90 {duration(stage.p90)}, "
            f"p99 {duration(stage.p99)}, longest {duration(stage.greatest)}"
        )
        parts.append(
            mark(
                said,
                rect(0, middle - pitch / 2, WIDTH, pitch, "hit"),
                text(plot.left - 8, middle, stage.name, "name end"),
                text(plot.left - 8, middle + 12, f"per {stage.unit}", "axis end"),
                line(x(stage.p50), middle, x(stage.greatest), middle, "range"),
                # The shorter ones last: where they coincide, the commonest case is seen.
                dot(x(stage.greatest), middle, 3.5, "longest"),
                dot(x(stage.p99), middle, 4, "p99"),
                dot(x(stage.p90), middle, 4, "p90"),
                dot(x(stage.p50), middle, 4, "p50"),
            )
        )
    return plot.chart("Latency percentiles by stage", *parts)


def timeline(quantity: Line, *, most: float | None = None) -> str:
    """One quantity over the run as an area; hovering shows the nearest sample."""
    plot = Plot(height=150, left=40, top=8, bottom=34)
    points = quantity.points or [(0.0, 0.0)]
    x = plot.across(0, max(points[-1][0], 0.1))
    if most is None:
        most = max(1.0, *(value * 1.05 for _, value in points), 1.0)
    y = plot.upward(0, most)
    outline = [(x(seconds), y(value)) for seconds, value in points]
    area = [(outline[0][0], y(0)), *outline, (outline[-1][0], y(0))]
    # A sample's field reaches half way to its neighbours.
    borders = [
        outline[0][0],
        *((a + b) / 2 for (a, _), (b, _) in pairwise(outline)),
        outline[-1][0],
    ]
    fields = [
        mark(
            f"{quantity.name} at {seconds:.1f} s: {quantity.word(value)} {quantity.unit}",
            rect(left, plot.top, right - left, plot.height - plot.top - plot.bottom, "hit"),
        )
        for (left, right), (seconds, value) in zip(pairwise(borders), points, strict=True)
    ]
    return plot.chart(
        f"{quantity.name} over time, {quantity.unit}",
        *plot.left_axis(y, quantity.word, 4, whole=True),
        *plot.bottom_axis(x, "{:g}".format, "seconds since the start"),
        polyline(area, f"area {quantity.style}", closed=True),
        polyline(outline, f"line {quantity.style}"),
        element("g", *fields),
    )


def _power(seconds: float) -> str:
    """A power of ten in its unit, with no digits behind the point."""
    return re.sub(r"\.0+(?=\D)", "", duration(seconds * 1.0001))
