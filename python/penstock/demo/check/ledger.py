"""What the refund desk's ledger says: every effect once, and none that was not asked for.

A line with `repeat` true is a call that came again and was answered from the ledger; it moves no
money, but it must say the same as the line that did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .expected import Case, Expected
from .rows import differences
from .source import Unreadable

__all__ = ("Ledger", "compare_ledger", "read_ledger")

REFUND, REVERSAL = "refund", "reversal"


class Entry(NamedTuple):
    """One line of the ledger; `line` is its number."""

    line: int
    key: str
    kind: str
    case: str
    cents: int
    repeat: bool


@dataclass(slots=True)
class Ledger:
    """The lines that can be understood, and a sentence about each that cannot."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def effects(self, kind: str) -> list[Entry]:
        """The lines of one kind that moved money."""
        return [entry for entry in self.entries if entry.kind == kind and not entry.repeat]

    @property
    def repeats(self) -> int:
        return sum(entry.repeat for entry in self.entries)


def read_ledger(path: Path) -> Ledger:
    """Read the whole ledger. Raises `Unreadable` if there is none."""
    ledger = Ledger()
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    ledger.entries.append(_entry(number, json.loads(line)))
                except ValueError as error:
                    ledger.broken.append(f"line {number:,} of the ledger: {error}")
    except OSError as error:
        raise Unreadable(
            path,
            f"cannot be read: {error.strerror}",
            "give the .refunds.jsonl that lies beside the database",
        ) from None
    return ledger


def _entry(number: int, value: Any) -> Entry:
    types = {"key": str, "kind": str, "case": str, "cents": int, "repeat": bool}
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {value!r}")  # noqa: TRY004 (as JSON errors)
    for name, type_ in types.items():
        if type(value.get(name)) is not type_:
            raise ValueError(f"expected {name} of type {type_.__name__}, found {value.get(name)!r}")
    if value["kind"] not in {REFUND, REVERSAL}:
        raise ValueError(f"expected kind refund or reversal, found {value['kind']!r}")
    return Entry(number, *(value[name] for name in types))


def compare_ledger(ledger: Ledger, expected: Expected) -> Iterator[str]:
    """A sentence for each difference."""
    yield from ledger.broken
    yield from _keys(ledger)
    cases = expected.cases.values()
    yield from _money(ledger, REFUND, [case for case in cases if case.paid])
    yield from _money(ledger, REVERSAL, [case for case in cases if case.paid and case.reason])
    paid = {entry.case: entry.line for entry in reversed(ledger.effects(REFUND))}
    for entry in ledger.effects(REVERSAL):
        if entry.line < paid.get(entry.case, 0):
            yield (
                f"{entry.case}: reversal: expected after its refund, "
                f"found in line {entry.line:,} and the refund in line {paid[entry.case]:,}"
            )


def _keys(ledger: Ledger) -> Iterator[str]:
    """An idempotency key has one effect; each further call of it is a repeat of the same."""
    first: dict[str, Entry] = {}
    for entry in ledger.entries:
        where = f"{entry.case}: {entry.kind} in line {entry.line:,} of the ledger"
        before = first.setdefault(entry.key, entry)
        if before is entry:
            if entry.repeat:
                yield f"{where}: expected the call that it repeats before it, found none"
        elif not entry.repeat:
            yield f"{where}: expected a repeat of line {before.line:,}, found a second effect"
        elif entry[2:5] != before[2:5]:
            yield (
                f"{where}: expected what line {before.line:,} says, "
                f"{before.kind} of {before.cents} cents for {before.case}, "
                f"found {entry.kind} of {entry.cents} cents for {entry.case}"
            )


def _money(ledger: Ledger, kind: str, cases: list[Case]) -> Iterator[str]:
    yield from differences(
        kind,
        ("cents",),
        {case.key: (case.paid,) for case in cases},
        [(entry.case, (entry.cents,)) for entry in ledger.effects(kind)],
    )
