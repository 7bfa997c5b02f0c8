"""What a strangler has seen: counts, durations of both sides, and samples of what differed."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, Literal, TypeAlias, get_args

from penstock.metrics import Distribution

__all__ = ("VERDICTS", "Difference", "Report", "SideFigures", "Verdict")

Verdict: TypeAlias = Literal["same", "different", "failed", "timed out", "ignored", "incomparable"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One finding, as text of bounded length."""

    verdict: Verdict
    call: str
    """The arguments, or the label that was given to them."""
    old: str
    new: str
    old_seconds: float
    new_seconds: float


@dataclass(frozen=True, slots=True)
class SideFigures:
    """Of one implementation: as the one that answers, and beside the other."""

    answered: int
    """Calls that were answered by it, or by its error."""
    errors: int
    """Of these, those that raised."""
    seconds: Distribution
    """Durations of all its calls, also of those that were compared only."""


@dataclass(frozen=True, slots=True)
class Report:
    """A strangler's figures at one moment; prints as text, and as data or HTML by `to_…`."""

    name: str
    share: float
    """Of calls that go to the new one now."""
    old: SideFigures
    new: SideFigures
    answered_by_old: int
    """Calls that the new one failed at, and the old one answered."""
    compared: Mapping[Verdict, int]
    """Comparisons that were made, by verdict."""
    dropped: int
    """Comparisons not begun, as `max_pending` were under way."""
    skipped: int
    """Comparisons not made, as the candidate's own policy refused."""
    pending: int
    """Comparisons under way."""
    differences: tuple[Difference, ...]
    """The first ones."""

    @property
    def match_rate(self) -> float:
        """Share of comparisons with the same outcome, of all that are not ignored; or NaN."""
        judged = sum(n for verdict, n in self.compared.items() if verdict != "ignored")
        return self.compared.get("same", 0) / judged if judged else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as for JSON; durations in seconds, None where there is no figure."""
        return {
            "name": self.name,
            "share": self.share,
            "old": _side(self.old),
            "new": _side(self.new),
            "answered_by_old": self.answered_by_old,
            "compared": dict(self.compared),
            "match_rate": None if isnan(self.match_rate) else self.match_rate,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "pending": self.pending,
            "differences": [asdict(each) for each in self.differences],
        }

    def to_html(self) -> str:
        """A fragment: the figures as a table, and one of the differences; all text is escaped."""
        rows = "".join(_row("td", line) for line in self._rows())
        parts = [f"<table>{_row('th', ('', 'old', 'new'))}{rows}</table>", f"<p>{self._sum()}</p>"]
        if self.differences:
            found = "".join(
                _row("td", (each.verdict, each.call, each.old, each.new))
                for each in self.differences
            )
            parts.append(f"<table>{_row('th', ('verdict', 'call', 'old', 'new'))}{found}</table>")
        return "".join(parts)

    def _rows(self) -> list[tuple[str, str, str]]:
        old, new = self.old, self.new
        rows = [
            ("answered", f"{old.answered:,}", f"{new.answered:,}"),
            ("errors", f"{old.errors:,}", f"{new.errors:,}"),
        ]
        for name in ("p50", "p99", "max"):
            both = _seconds(getattr(old.seconds, name)), _seconds(getattr(new.seconds, name))
            rows.append((name, *both))
        return rows

    def _sum(self) -> str:
        counts = ", ".join(f"{n:,} {verdict}" for verdict, n in self.compared.items() if n)
        rate = "" if isnan(self.match_rate) else f"; {self.match_rate:.2%} match"
        aside = {
            "dropped": self.dropped,
            "skipped": self.skipped,
            "pending": self.pending,
            "answered by the old one after an error": self.answered_by_old,
        }
        more = "".join(f"; {n:,} {what}" for what, n in aside.items() if n)
        return f"compared: {counts or 'nothing'}{rate}{more}"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.share:.4g} of the calls go to the new one"]
        lines += [f"  {name:9}{old:>12}{new:>12}" for name, old, new in self._rows()]
        lines.insert(1, f"  {'':9}{'old':>12}{'new':>12}")
        lines.append(f"  {self._sum()}")
        for each in self.differences:
            lines.append(f"  {each.verdict}: {each.call}: old {each.old}, new {each.new}")
        return "\n".join(lines)


def _side(side: SideFigures) -> dict[str, Any]:
    seconds = side.seconds
    figures = {"mean": seconds.mean, "p50": seconds.p50, "p99": seconds.p99, "max": seconds.max}
    return {
        "answered": side.answered,
        "errors": side.errors,
        "calls": seconds.count,
        "seconds": {name: None if isnan(value) else value for name, value in figures.items()},
    }


def _row(cell: str, words: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(word)}</{cell}>" for word in words) + "</tr>"


def _seconds(value: float) -> str:
    if isnan(value):
        return "–"
    for limit, scale, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * scale:.3g} {unit}"
    return f"{value:.3g} s"
