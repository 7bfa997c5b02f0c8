"""The report's section on the old statistic and the new one."""

from __future__ import annotations

from penstock.adapters import SideFigures

from .comparison import Comparison
from .markup import charts, figure, folded, section, table
from .wording import counted, duration, integer, minutes, percent

__all__ = ("compared",)

_SHOWN = 8


def compared(comparison: Comparison) -> str:
    """What differed, how often, and how long both took."""
    report = comparison.report
    rows = [
        (
            each.route,
            integer(each.flights),
            each.figure,
            minutes(each.old),
            minutes(each.new),
        )
        for each in comparison.disagreements
    ]
    headings = ("route", "flights with a delay", "figure", "old", "new")
    differing = figure(
        "What differed",
        "The old one's answer, and what the new one said: minutes of arrival delay."
        if rows
        else "Nothing.",
        table(headings, rows[:_SHOWN]) if rows else "",
        *(
            [folded(f"all {counted(len(rows), 'difference')}", table(headings, rows))]
            if rows[_SHOWN:]
            else []
        ),
    )
    sides = figure(
        "How long each took, per route",
        "The old one answered, with lists; the new one ran beside it, with arrays.",
        table(
            ("", "calls", "raised", "p50", "p99", "max"),
            (_side("old", report.old), _side("new", report.new)),
        ),
    )
    verdicts = ", ".join(f"{integer(n)} {verdict}" for verdict, n in report.compared.items())
    return section(
        "An old statistic beside the new one",
        f"The delays of {counted(comparison.routes, 'route')} were counted by the old "
        "implementation, in plain Python, and by its successor beside it, through a Strangler "
        f"with Compare: {verdicts or 'nothing to compare'}; {percent(report.match_rate, 1)} match. "
        "The old one has a mistake planted in it: where a tenth of a route's flights is a whole "
        "number of them, it takes the p90 one flight too late. All other sections are by the new "
        "one.",
        charts(differing, sides),
    )


def _side(name: str, side: SideFigures) -> tuple[str, ...]:
    seconds = side.seconds
    times = (seconds.p50, seconds.p99, seconds.max)
    return (name, integer(seconds.count), integer(side.errors), *map(duration, times))
