"""Charts of the run itself: how long stages took, and what was going on when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from .stage import Stage
from .svg import WIDTH, Plot, Word, dot, element, line, mark, polyline, rect, text
from .wording import duration, integer, shortened

__all__ = ("Line", "latencies", "timeline", "timelines")


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
                text(plot.left - 8, middle, shortened(stage.name, 21), "name end"),
                text(plot.left - 8, middle + 12, shortened(f"per {stage.unit}", 24), "axis end"),
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
    said = [
        f"{quantity.name} at {seconds:.1f} s: {quantity.word(value)} {quantity.unit}"
        for seconds, value in points
    ]
    return plot.chart(
        f"{quantity.name} over time, {quantity.unit}",
        *plot.left_axis(y, quantity.word, 4, whole=True),
        *plot.bottom_axis(x, "{:g}".format, "seconds since the start"),
        polyline(area, f"area {quantity.style}", closed=True),
        polyline(outline, f"line {quantity.style}"),
        _fields(plot, [place for place, _ in outline], said),
    )


def timelines(label: str, quantities: Sequence[Line]) -> str:
    """Several quantities of one unit over the run, sampled at the same moments, on one axis."""
    plot = Plot(height=200, left=46, top=8, bottom=34)
    seconds = [moment for moment, _ in quantities[0].points] or [0.0]
    x = plot.across(0, max(seconds[-1], 0.1))
    values = [[value for _, value in each.points] or [0.0] for each in quantities]
    most = max(1.0, *(value * 1.05 for column in values for value in column), 1.0)
    y = plot.upward(0, most)
    said = [
        f"at {moment:.1f} s\n"
        + "\n".join(
            f"{each.name}: {each.word(value)}" for each, value in zip(quantities, row, strict=True)
        )
        for moment, row in zip(seconds, zip(*values, strict=True), strict=True)
    ]
    return plot.chart(
        f"{label} over time, {quantities[0].unit}",
        *plot.left_axis(y, quantities[0].word, 5, whole=True),
        *plot.bottom_axis(x, "{:g}".format, "seconds since the start"),
        *(
            polyline([(x(a), y(b)) for a, b in zip(seconds, column, strict=True)], f"line {style}")
            for style, column in zip((each.style for each in quantities), values, strict=True)
        ),
        _fields(plot, [x(moment) for moment in seconds], said),
    )


def _fields(plot: Plot, places: Sequence[float], said: Sequence[str]) -> str:
    """What is said where the pointer is: a sample's field reaches half way to its neighbours."""
    borders = [places[0], *((a + b) / 2 for a, b in pairwise(places)), places[-1]]
    height = plot.height - plot.top - plot.bottom
    return element(
        "g",
        *(
            mark(words, rect(left, plot.top, right - left, height, "hit"))
            for (left, right), words in zip(pairwise(borders), said, strict=True)
        ),
    )


def _power(seconds: float) -> str:
    """A power of ten in its unit, with no digits behind the point."""
    return re.sub(r"\.0+(?=\D)", "", duration(seconds * 1.0001))
