"""The verdict: what the file demands, what database and ledger say, and where they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from .database import compare_database
from .expected import Expected, expect
from .flights import read_year
from .ledger import REFUND, REVERSAL, Ledger, compare_ledger, read_ledger

__all__ = ("Files", "Verdict", "check")

# More than these tell nobody more.
_SHOWN = 10


class Files(NamedTuple):
    """What a run read and wrote; a `quarantine` that is not there names no lines."""

    data: Path
    planes: Path
    quarantine: Path | None
    database: Path
    ledger: Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: money and repeated calls by the ledger, flights as they should have ended.

    `differences` are the first few sentences, `more` is how many there are beside them.
    """

    cancelled: int
    confirmed: int
    refused: dict[str, int]
    refunds: int
    refunded_cents: int
    reversals: int
    reversed_cents: int
    repeated_calls: int
    differences: tuple[str, ...]
    more: int

    @property
    def balances(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def lines(self) -> list[str]:
        """The verdict as text: one line if all is well."""
        if not self.balances:
            count = _count(len(self.differences) + self.more, "difference")
            lines = [f"the ledger does not balance: {count}", *self.differences]
            return [*lines, f"and {self.more:,} more"] if self.more else lines
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.refused.items())
        told = [
            _count(self.cancelled, "cancelled flight"),
            f"{self.confirmed:,} confirmed",
            f"{sum(self.refused.values()):,} refused" + (f" ({reasons})" if reasons else ""),
            f"{_count(self.refunds, 'refund')} of {_dollars(self.refunded_cents)}",
            f"{_count(self.reversals, 'reversal')} of {_dollars(self.reversed_cents)}",
            _count(self.repeated_calls, "repeated call"),
        ]
        return [f"the ledger balances: {', '.join(told)}"]

    def as_json(self) -> dict[str, Any]:
        """The same as data."""
        return {
            "balances": self.balances,
            "line": self.lines()[0],
            "cancelled": self.cancelled,
            "confirmed": self.confirmed,
            "refused": self.refused,
            "refunds": self.refunds,
            "refunded_cents": self.refunded_cents,
            "reversals": self.reversals,
            "reversed_cents": self.reversed_cents,
            "repeated_calls": self.repeated_calls,
            "differences": list(self.differences),
            "more": self.more,
        }


def check(files: Files, seed: int) -> Verdict:
    """Compare everything; a packaged year takes some seconds and 60 MB.

    Raises `Unreadable` for a file that cannot be read. Changes nothing. May be called from any
    thread, after the run and while nobody writes.
    """
    ledger = read_ledger(files.ledger)
    expected = expect(read_year(files.data, files.planes, files.quarantine), seed)
    found = chain(
        compare_database(files.database, expected, seed), compare_ledger(ledger, expected)
    )
    first = tuple(islice(found, _SHOWN))
    return _verdict(expected, ledger, first, sum(1 for _ in found))


def _verdict(expected: Expected, ledger: Ledger, first: tuple[str, ...], more: int) -> Verdict:
    refused = Counter(case.reason for case in expected.cases.values() if case.reason)
    refunds, reversals = ledger.effects(REFUND), ledger.effects(REVERSAL)
    return Verdict(
        cancelled=len(expected.cases),
        confirmed=len(expected.cases) - refused.total(),
        refused=dict(refused.most_common()),
        refunds=len(refunds),
        refunded_cents=sum(entry.cents for entry in refunds),
        reversals=len(reversals),
        reversed_cents=sum(entry.cents for entry in reversals),
        repeated_calls=ledger.repeats,
        differences=first,
        more=more,
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02}"
