"""The report's charts. Each takes figures and gives one SVG; hovering a mark shows its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .findings import Delays, RouteError
from .run import Stage
from .svg import Scale, chart, element, path
from .wording import duration, integer, minutes, percent

__all__ = ("Line", "Word", "columns", "errors", "latencies", "rows", "timeline")

Word: TypeAlias = Callable[[float], str]

# Drawn for a phone's width and scaled up from there: text stays readable on both.
WIDTH = 480


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity over the run, with its style class and how to word a value of it."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    word: Word


def columns(groups: Sequence[Delays], unit: str) -> str:
    """Mean, median and 90th percentile by hour, side by side from left to right."""
    height, left, right, top, bottom = 260, 38, 8, 22, 34
    high = max((group.p90 for group in groups), default=1.0)
    low = min(0.0, *(min(group.median, group.mean) for group in groups), 0.0)
    y = Scale(low, max(high, 1.0), height - bottom, top)
    step = (WIDTH - left - right) / max(len(groups), 1)
    parts = [_text(4, 12, unit, "axis")]
    for tick in y.ticks(6):
        parts.append(_line(left, y(tick), WIDTH - right, y(tick), "zero" if tick == 0 else "grid"))
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:g}", "axis end"))
    for index, group in enumerate(groups):
        middle = left + (index + 0.5) * step
        parts.append(
            element(
                "g",
                _title(group),
                _hit(left + index * step, top, step, height - top - bottom),
                _line(middle, y(group.median), middle, y(group.p90), "range"),
                _bar(middle - step * 0.3, y(max(group.mean, 0)), step * 0.6, y, group.mean),
                element("circle", cx=middle, cy=y(group.p90), r=3, class_="p90"),
                element("circle", cx=middle, cy=y(group.median), r=3, class_="p50"),
                class_="mark",
            )
        )
        if index % 2 == 0 or len(groups) <= 12:
            parts.append(_text(middle, height - bottom + 16, group.name, "axis middle"))
    parts.append(
        _text((left + WIDTH - right) / 2, height - 4, "scheduled hour of departure", "axis middle")
    )
    return chart(WIDTH, height, f"Arrival delay by hour, in {unit}", *parts)


def rows(groups: Sequence[Delays], names: dict[str, str], unit: str) -> str:
    """The same by carrier, one below the other, in the order given."""
    pitch, left, right, top, bottom = 24, 158, 12, 10, 36
    height = top + pitch * len(groups) + bottom
    low = min(0.0, *(min(group.median, group.mean) for group in groups), 0.0)
    x = Scale(low, max((group.p90 for group in groups), default=1.0), left, WIDTH - right)
    parts = []
    for tick in x.ticks(6):
        style = "zero" if tick == 0 else "grid"
        parts.append(_line(x(tick), top, x(tick), height - bottom, style))
        parts.append(_text(x(tick), height - bottom + 16, f"{tick:g}", "axis middle"))
    for index, group in enumerate(groups):
        middle = top + (index + 0.5) * pitch
        near, far = sorted((x(0), x(group.mean)))
        parts.append(
            element(
                "g",
                _title(group, names.get(group.name, "")),
                _hit(0, middle - pitch / 2, WIDTH, pitch),
                _text(left - 8, middle + 4, _short(names.get(group.name, group.name)), "name end"),
                _line(x(group.median), middle, x(group.p90), middle, "range"),
                element(
                    "rect",
                    x=near,
                    y=middle - 7,
                    width=round(far - near, 2),
                    height=14,
                    class_="mean",
                ),
                element("circle", cx=x(group.p90), cy=middle, r=3, class_="p90"),
                element("circle", cx=x(group.median), cy=middle, r=3, class_="p50"),
                class_="mark",
            )
        )
    parts.append(_text((left + WIDTH) / 2, height - 4, unit, "axis middle"))
    return chart(WIDTH, height, f"Arrival delay by carrier, in {unit}", *parts)


def errors(routes: Sequence[RouteError]) -> str:
    """Each route's difference between published and great-circle distance."""
    height, left, right, top, bottom = 240, 46, 12, 22, 36
    x = Scale(0, max((route.published for route in routes), default=1), left, WIDTH - right)
    least = min(*(route.error for route in routes), -0.001, -0.001) * 1.08
    most = max(*(route.error for route in routes), 0.001, 0.001) * 1.08
    y = Scale(least, most, height - bottom, top)
    parts = [_text(4, 12, "difference", "axis")]
    for tick in y.ticks(6):
        parts.append(_line(left, y(tick), WIDTH - right, y(tick), "zero" if tick == 0 else "grid"))
        parts.append(
            _text(left - 6, y(tick) + 4, f"{tick * 100:+.1f} %" if tick else "0", "axis end")
        )
    for tick in x.ticks(5):
        parts.append(_text(x(tick), height - bottom + 16, f"{tick:,.0f}", "axis middle"))
    for route in routes:
        title = (
            f"{route.name}: published {integer(route.published)} mi, "
            f"great circle {route.great_circle:,.0f} mi, {route.error * 100:+.2f} %"
        )
        parts.append(
            element(
                "circle",
                element("title", text=title),
                cx=x(route.published),
                cy=y(route.error),
                r=3.5,
                class_="dot mark",
            )
        )
    parts.append(_text((left + WIDTH) / 2, height - 4, "published distance, miles", "axis middle"))
    return chart(WIDTH, height, "Published against great-circle distance by route", *parts)


def latencies(stages: Sequence[Stage]) -> str:
    """p50, p90, p99 and the longest call of each stage, on a scale of powers of ten."""
    pitch, left, right, top, bottom = 34, 158, 14, 8, 36
    height = top + pitch * len(stages) + bottom
    seen = [t for stage in stages for t in (stage.p50, stage.greatest) if t > 0] or [1e-3, 1.0]
    low, high = 10.0, 1e-9
    for seconds in seen:
        low, high = min(low, seconds), max(high, seconds)
    x = Scale(_decade_below(low), _decade_above(high), left, WIDTH - right, logarithmic=True)
    parts = []
    for tick in x.ticks():
        parts.append(_line(x(tick), top, x(tick), height - bottom, "grid"))
        parts.append(_text(x(tick), height - bottom + 16, _power(tick), "axis middle"))
    for index, stage in enumerate(stages):
        middle = top + (index + 0.5) * pitch
        title = (
            f"{stage.name}, per {stage.unit}, {integer(stage.count)} times: "
            f"p50 {duration(stage.p50)}, p90 {duration(stage.p90)}, "
            f"p99 {duration(stage.p99)}, longest {duration(stage.greatest)}"
        )
        parts.append(
            element(
                "g",
                element("title", text=title),
                _hit(0, middle - pitch / 2, WIDTH, pitch),
                _text(left - 8, middle, stage.name, "name end"),
                _text(left - 8, middle + 12, f"per {stage.unit}", "axis end"),
                _line(x(stage.p50), middle, x(stage.greatest), middle, "range"),
                *(
                    element("circle", cx=x(value), cy=middle, r=size, class_=style)
                    for value, size, style in (
                        (stage.greatest, 3, "longest"),
                        (stage.p99, 4, "p99"),
                        (stage.p90, 4, "p90"),
                        (stage.p50, 4, "p50"),
                    )
                ),
                class_="mark",
            )
        )
    parts.append(
        _text((left + WIDTH) / 2, height - 4, "time per call, powers of ten", "axis middle")
    )
    return chart(WIDTH, height, "Latency percentiles by stage", *parts)


def timeline(line: Line, unit: str, *, most: float | None = None) -> str:
    """One quantity over the run as an area; hovering shows the nearest sample."""
    height, left, right, top, bottom = 150, 40, 12, 8, 34
    points = line.points or [(0.0, 0.0)]
    x = Scale(0, max(points[-1][0], 0.1), left, WIDTH - right)
    top_value = max(max(value for _, value in points) * 1.05, 1.0) if most is None else most
    y = Scale(0, top_value, height - bottom, top)
    parts = []
    for tick in y.ticks(4):
        parts.append(_line(left, y(tick), WIDTH - right, y(tick), "zero" if tick == 0 else "grid"))
        parts.append(_text(left - 6, y(tick) + 4, line.word(tick), "axis end"))
    for tick in x.ticks(6):
        parts.append(_text(x(tick), height - bottom + 16, f"{tick:g}", "axis middle"))
    outline = [(x(seconds), y(value)) for seconds, value in points]
    closed = [(outline[0][0], y(0)), *outline, (outline[-1][0], y(0))]
    parts.append(element("path", d=path(closed) + "Z", class_=f"area {line.style}"))
    parts.append(element("path", d=path(outline), class_=f"line {line.style}"))
    widths = [b[0] - a[0] for a, b in zip(outline, outline[1:], strict=False)] or [0.0]
    for (place, _), (seconds, value), width in zip(
        outline, points, [*widths, widths[-1]], strict=True
    ):
        title = f"{line.name} at {seconds:.1f} s: {line.word(value)} {unit}"
        parts.append(
            element(
                "rect",
                element("title", text=title),
                x=round(place - width / 2, 2),
                y=top,
                width=round(max(width, 0.5), 2),
                height=height - top - bottom,
                class_="hit mark",
            )
        )
    parts.append(_text((left + WIDTH) / 2, height - 4, "seconds since the start", "axis middle"))
    return chart(WIDTH, height, f"{line.name} over time", *parts)


def _title(group: Delays, name: str = "") -> str:
    return element(
        "title",
        text=f"{group.name} {name}".strip()
        + f": {integer(group.flights)} flights, mean {minutes(group.mean, 1)} min, "
        f"median {minutes(group.median)}, p90 {minutes(group.p90)}, "
        f"{percent(group.late, 0)} at least 15 min late",
    )


def _bar(left: float, top: float, width: float, y: Scale, mean: float) -> str:
    return element(
        "rect",
        x=round(left, 2),
        y=top,
        width=round(width, 2),
        height=round(abs(y(mean) - y(0)), 2),
        class_="mean",
    )


def _hit(x: float, y: float, width: float, height: float) -> str:
    """A transparent field, so that a mark need not be hit exactly."""
    return element(
        "rect", x=round(x, 2), y=round(y, 2), width=round(width, 2), height=height, class_="hit"
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return element(
        "line", x1=round(x1, 2), y1=round(y1, 2), x2=round(x2, 2), y2=round(y2, 2), class_=style
    )


def _text(x: float, y: float, text: str, style: str) -> str:
    return element("text", x=round(x, 2), y=round(y, 2), class_=style, text=text)


def _power(seconds: float) -> str:
    """A power of ten in its unit, with no digits behind the point."""
    words = duration(seconds * 1.0001)
    return re.sub(r"\.0+(?=\D)", "", words)


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23].rstrip() + "…"


def _decade_below(value: float) -> float:
    power = 1e-9
    while power * 10 <= value:
        power *= 10
    return power


def _decade_above(value: float) -> float:
    power = 1e-9
    while power < value:
        power *= 10
    return power
