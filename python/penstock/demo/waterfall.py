"""A trace drawn as a waterfall: one bar a span, from when on and for how long, below its parent."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.tracing import Trace, WaterfallRow

from .svg import WIDTH, Plot, Scale, line, mark, rect, text
from .wording import duration, shortened

__all__ = ("MOST_ROWS", "tracers", "waterfall")

MOST_ROWS = 60
"""Spans that are drawn; a longer trace is cut off below."""

_PITCH = 18
_BAR = 9
_INDENT = 7
# Deeper spans are not indented any further: their names need the room.
_DEEPEST = 8
# A letter at the chart's size, on average; names are shortened by it, as nothing measures them.
_LETTER = 6.9
_STYLES = 6


def waterfall(trace: Trace) -> str:
    """Bars on one axis of time, names at the left, durations at the right.

    A bar takes the colour of its tracer; `tracers` gives the key. Failed spans are outlined and
    carry a cross. Hovering shows times, tracer, attributes and the error.
    """
    rows = trace.waterfall()[:MOST_ROWS]
    plot = Plot(height=6 + _PITCH * len(rows) + 36, left=156, top=6, bottom=36, right=62)
    length = trace.duration
    x = plot.across(0, length)
    unit, name = next(
        ((scale, word) for scale, word in ((1.0, "seconds"), (1e-3, "ms")) if length >= scale),
        (1e-6, "µs"),
    )
    styles = {tracer: style for style, tracer in tracers(trace)}
    parts = plot.bottom_axis(
        x, lambda tick: f"{tick / unit:g}", f"{name} since it began", 5, ruled=True
    )
    for index, row in enumerate(rows):
        middle = plot.top + (index + 0.5) * _PITCH
        parts.append(_row(row, plot, x, middle, styles.get(row.tracer, f"t{_STYLES - 1}")))
    shown = f"Trace {trace.trace_id} as a waterfall, {len(rows)} of {len(trace)} spans"
    return plot.chart(shown, *parts)


def tracers(trace: Trace) -> list[tuple[str, str]]:
    """Style class and name of each tracer, in order of appearance; the last style is for the rest.

    Six at most: more colours cannot be told apart.
    """
    names = list(dict.fromkeys(row.tracer for row in trace.waterfall()[:MOST_ROWS]))
    if len(names) > _STYLES:
        names[_STYLES - 1 :] = ["others"]
    return [(f"t{index}", name) for index, name in enumerate(names)]


def _row(row: WaterfallRow, plot: Plot, x: Scale, middle: float, style: str) -> str:
    indent = _INDENT * min(row.depth, _DEEPEST)
    failed = row.status == "error"
    # The shortest span is still seen, and the last one still within the field.
    width = max(x(row.start + row.duration) - x(row.start), 1.5)
    left = min(x(row.start), x.end - width)
    words = " failed" if failed else ""
    name = shortened(row.name, int((plot.left - 8 - indent) / _LETTER))
    return mark(
        _said(row),
        rect(0, middle - _PITCH / 2, WIDTH, _PITCH, "hit"),
        text(indent, middle + 4, name, f"name{words}"),
        line(plot.left, middle, left, middle, "lead"),
        rect(left, middle - _BAR / 2, width, _BAR, f"bar {style}{words}"),
        text(WIDTH, middle + 4, f"{'✕ ' * failed}{duration(row.duration)}", f"axis end{words}"),
    )


def _said(row: WaterfallRow) -> str:
    span = row.span
    lines = [
        f"{row.name}: {duration(row.duration)}, from {duration(row.start)} on",
        f"by {row.tracer}",
        *_attributes(list(span.attributes.items())),
    ]
    if row.status == "error":
        lines.append(shortened(f"failed: {span.description}".rstrip(": "), 200))
    return "\n".join(lines)


def _attributes(pairs: Sequence[tuple[str, object]]) -> list[str]:
    shown = [shortened(f"{name} = {value!r}", 100) for name, value in pairs[:12]]
    return [*shown, f"and {len(pairs) - 12} more"] if len(pairs) > 12 else shown
