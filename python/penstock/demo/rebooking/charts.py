"""Charts of the second half: outcomes by month, and what was waiting where."""

from __future__ import annotations

from calendar import month_abbr
from collections.abc import Sequence

from penstock.demo.run_charts import Line, timelines
from penstock.demo.svg import WIDTH, Plot, mark, rect, text
from penstock.demo.wording import counted, integer, percent

from .outcome import Moment, Tally

__all__ = ("DEPTHS", "depths", "outcomes")

DEPTHS = (
    ("ready", "messages that wait for the consumer"),
    ("flight", "messages that it works on"),
    ("outbox", "events in the outbox"),
    ("dead", "dead letters"),
)
"""Style class and meaning of each line of `depths`."""

# Wider ones, of a file with few months, would look like a wall.
_WIDEST = 46.0


def outcomes(months: Sequence[Tally]) -> str:
    """Confirmed and, on top of them, refused flights of each month."""
    plot = Plot(height=220, left=46, top=10, bottom=22, right=8)
    y = plot.upward(0, max(1, *(tally.cancelled for tally in months), 1) * 1.03)
    step = (WIDTH - plot.left - plot.right) / max(len(months), 1)
    width = min(step * 0.7, _WIDEST)
    every = -(-len(months) // 14)
    parts = plot.left_axis(y, "{:,.0f}".format, 5, whole=True)
    for index, tally in enumerate(months):
        left = plot.left + index * step
        middle = left + step / 2
        said = (
            f"{tally.name}: {counted(tally.cancelled, 'cancelled flight')}, "
            f"{integer(tally.confirmed)} confirmed ({percent(tally.share, 0)}), "
            f"{integer(tally.refused)} refused"
        )
        split, top = y(tally.confirmed), y(tally.cancelled)
        parts.append(
            mark(
                said,
                rect(left, plot.top, step, plot.height - plot.top - plot.bottom, "hit"),
                rect(middle - width / 2, split, width, y(0) - split, "bar confirmed"),
                rect(middle - width / 2, top, width, split - top, "bar refused"),
            )
        )
        if index % every == 0:
            parts.append(text(middle, plot.height - 6, _month(tally.name), "axis middle"))
    return plot.chart("Confirmed and refused flights by month", *parts)


def depths(moments: Sequence[Moment]) -> str:
    """Outbox, queue, consumer and dead letters over the second half."""
    columns = (
        [moment.ready for moment in moments],
        [moment.in_flight for moment in moments],
        [moment.outbox for moment in moments],
        [moment.dead for moment in moments],
    )
    seconds = [moment.seconds for moment in moments]
    whole = "{:,.0f}".format
    lines = [
        Line(name, style, "waiting", list(zip(seconds, map(float, column), strict=True)), whole)
        for (style, name), column in zip(DEPTHS, columns, strict=True)
    ]
    return timelines("Queue depth", lines)


def _month(name: str) -> str:
    """The month's short name where `name` is year and month, else `name` itself."""
    year, _, month = name.partition("-")
    known = year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12
    return month_abbr[int(month)] if known else name
