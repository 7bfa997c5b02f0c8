"""The old statistic and the new one, side by side over every route, and what they differ in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from penstock.adapters import Compare, Report, Strangler
from penstock.adapters import Comparison as Compared

from .findings import Delays, delays, route_name
from .old_statistics import old_delays
from .statistics import Kind, Table, groups

__all__ = ("Comparison", "Disagreement", "compare_statistics")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One figure of one route."""

    route: str
    flights: int
    """Those with an arrival delay, which is what both count."""
    figure: str
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of running both."""

    report: Report
    disagreements: tuple[Disagreement, ...]
    """By route."""

    @property
    def routes(self) -> int:
        """How many were compared."""
        return sum(self.report.compared.values())


def compare_statistics(table: Table) -> Comparison:
    """Have the old one answer for each route, and the new one beside it; blocks, for a thread."""
    found: list[Disagreement] = []

    def note(seen: Compared) -> None:
        if seen.verdict == "different":
            found.extend(_disagreements(seen.old.value, seen.new.value))

    strangler = Strangler(
        "route delays",
        old_delays,
        delays,
        compare=Compare(
            equal=_same,
            label=lambda name, _rows: name,
            publish=note,
        ),
    )
    for group, rows in groups(table, Kind.ROUTE_ARRIVAL):
        strangler(route_name(group), rows)
        # A service would not wait. Here nothing else would run meanwhile but the next comparison,
        # and that at the cost of this one's time.
        strangler.wait_settled()
    return Comparison(strangler.report(), tuple(sorted(found, key=lambda each: each.route)))


def _same(old: Delays, new: Delays) -> bool:
    return not any(_disagreements(old, new))


def _disagreements(old: Delays, new: Delays) -> Iterator[Disagreement]:
    for field in fields(Delays):
        a, b = getattr(old, field.name), getattr(new, field.name)
        # NaN, which is no figure, is not equal to itself.
        if a != b and not (a != a and b != b):  # noqa: PLR0124
            yield Disagreement(new.name, new.count, field.name, a, b)
