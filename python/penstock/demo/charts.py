"""Charts of the flights. Each takes figures and gives one SVG; hovering shows the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .findings import Delays, RouteError
from .svg import WIDTH, Plot, dot, line, mark, rect, text
from .wording import integer, minutes, percent, shortened

__all__ = ("by_carrier", "by_hour", "distance_errors")


def by_hour(groups: Sequence[Delays]) -> str:
    """Mean, median and 90th percentile by hour, side by side from left to right."""
    plot = Plot(height=260, left=38, top=22, bottom=34, right=8)
    y = plot.upward(*_range(groups))
    step = (WIDTH - plot.left - plot.right) / max(len(groups), 1)
    parts = [text(4, 12, "minutes", "axis"), *plot.left_axis(y, "{:g}".format, 6)]
    for index, group in enumerate(groups):
        left = plot.left + index * step
        middle = left + step / 2
        top, foot = sorted((y(group.mean), y(0)))
        parts.append(
            mark(
                _said(group, f"{group.name}:00"),
                rect(left, plot.top, step, plot.height - plot.top - plot.bottom, "hit"),
                line(middle, y(group.median), middle, y(group.p90), "range"),
                rect(middle - step * 0.3, top, step * 0.6, foot - top, "mean"),
                dot(middle, y(group.p90), 3, "p90"),
                dot(middle, y(group.median), 3, "p50"),
            )
        )
        # Every second name, where all of them would run into each other.
        if len(groups) <= 12 or index % 2 == 0:
            parts.append(text(middle, plot.height - plot.bottom + 16, group.name, "axis middle"))
    parts.append(plot.bottom_title("scheduled hour of departure"))
    return plot.chart("Arrival delay by hour, in minutes", *parts)


def by_carrier(groups: Sequence[Delays], names: dict[str, str]) -> str:
    """The same by carrier, one below the other, in the order given."""
    pitch = 24
    plot = Plot(height=10 + pitch * len(groups) + 36, left=158, top=10, bottom=36)
    x = plot.across(*_range(groups))
    parts = plot.bottom_axis(x, "{:g}".format, "minutes", ruled=True)
    for index, group in enumerate(groups):
        middle = plot.top + (index + 0.5) * pitch
        name = names.get(group.name, group.name)
        near, far = sorted((x(0), x(group.mean)))
        parts.append(
            mark(
                _said(group, name),
                rect(0, middle - pitch / 2, WIDTH, pitch, "hit"),
                text(plot.left - 8, middle + 4, shortened(name, 24), "name end"),
                line(x(group.median), middle, x(group.p90), middle, "range"),
                rect(near, middle - 7, far - near, 14, "mean"),
                dot(x(group.p90), middle, 3, "p90"),
                dot(x(group.median), middle, 3, "p50"),
            )
        )
    return plot.chart("Arrival delay by carrier, in minutes", *parts)


def distance_errors(routes: Sequence[RouteError]) -> str:
    """Each route's difference between great-circle and published distance."""
    plot = Plot(height=240, left=46, top=22, bottom=36)
    x = plot.across(0, max((route.published for route in routes), default=1))
    errors = [-0.001, 0.001, *(route.error for route in routes)]
    y = plot.upward(min(errors) * 1.08, max(errors) * 1.08)
    parts = [text(4, 12, "difference", "axis"), *plot.left_axis(y, _signed, 6)]
    parts += plot.bottom_axis(x, "{:,.0f}".format, "published distance, miles", 5)
    for route in routes:
        said = (
            f"{route.name}: published {integer(route.published)} mi, "
            f"great circle {route.great_circle:,.1f} mi, {_signed(route.error)}"
        )
        parts.append(mark(said, dot(x(route.published), y(route.error), 3.5, "dot")))
    return plot.chart("Published against great-circle distance by route", *parts)


def _range(groups: Sequence[Delays]) -> tuple[float, float]:
    values = [value for group in groups for value in (group.mean, group.median, group.p90)]
    return min(0.0, *values, 0.0), max(1.0, *values, 1.0)


def _said(group: Delays, name: str) -> str:
    return (
        f"{name}: {integer(group.flights)} flights, mean {minutes(group.mean, 1)} min, "
        f"median {minutes(group.median)}, p90 {minutes(group.p90)}, "
        f"{percent(group.late, 0)} at least 15 min late"
    )


def _signed(error: float) -> str:
    return f"{error * 100:+.{1 if abs(error) >= 0.01 else 2}f} %" if error else "0"
