"""What is known of queues without asking them: what went in, what came out, and how calls ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


class Ledger:
    """The books of those on one thread, which write down an item in the step that moves it."""

    def __init__(self, producer: int = 0) -> None:
        self.sent: list[int] = []
        self.got: list[int] = []
        self.dropped: list[int] = []
        self.cleared = 0
        self.batches: list[Batch] = []
        self.faults: list[str] = []
        self.ends: Counter[str] = Counter()
        """How operations ended, each of them counted once."""
        self.fresh = producer << 40

    def next(self, lead: int = 0) -> int:
        """An item that there was not before; of two with different leads the lower one is less."""
        self.fresh += 1
        return (lead << 60) + self.fresh

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def lost(self) -> list[int]:
        return sorted(set(self.sent) - set(self.got) - set(self.dropped))

    def check(self, where: str) -> int:
        """The number of operations. Raises AssertionError."""
        came = Counter(self.got)
        doubled = [item for item, count in came.items() if count > 1]
        assert not doubled, f"{where}: doubled {doubled[:5]}"
        known = set(self.sent)
        for batch in self.batches:
            batch.check(where, came, exact=not self.dropped and not self.cleared)
            known.update(batch.known(came))
        invented = sorted(came.keys() - known)
        assert not invented, f"{where}: never put, or refused, and yet there: {invented[:5]}"
        lost = sorted(known - came.keys() - set(self.dropped))
        assert len(lost) <= self.cleared, f"{where}: lost {lost[:5]} of {len(known)}"
        assert not self.faults, f"{where}: {self.faults[0]} ({len(self.faults)} faults)"
        return self.ends.total()


@dataclass
class Batch:
    """Items of one `put_many`, and how many of them went in, if that was said."""

    items: list[int]
    accepted: int | None

    def known(self, came: Counter[int]) -> list[int]:
        """Those that are inside or were: what a cancelled call does not say is seen later."""
        if self.accepted is not None:
            return self.items[: self.accepted]
        return [item for item in self.items if item in came]

    def check(self, where: str, came: Counter[int], *, exact: bool) -> None:
        """With `exact` nothing was dropped, so what went in has come out by now."""
        out = [item in came for item in self.items]
        if self.accepted is not None:
            assert not any(out[self.accepted :]), (
                f"{where}: of {self.items} {self.accepted} were accepted, and more came: {out}"
            )
        if exact:
            first = out.count(True)
            told = first if self.accepted is None else self.accepted
            assert out == [n < told for n in range(len(out))], (
                f"{where}: of {self.items} {self.accepted} were accepted, and these came: {out}"
            )
