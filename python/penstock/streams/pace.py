"""How much is done in one go: slices of about a millisecond, however dear a function is.

A stage that runs in the loop's thread calls its function in rounds and looks at the clock
between them; after a millisecond it hands on what it has, so that the loop can run. A round is
one call at first, since the first call of an unknown function may already be long, and grows to
128 while rounds stay short: then the clock costs 2 ns a call, and a function that suddenly
becomes slow is noticed after 128 calls at the latest.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from anyio.lowlevel import checkpoint

__all__ = ("EVERYTHING", "Fairness", "Slice")

SECONDS: Final = 0.001
LONG_ROUND: Final = SECONDS / 8
SHORT_ROUND: Final = SECONDS / 16
MOST_CALLS: Final = 128

# What a taker asks for that can use as much as comes.
EVERYTHING: Final = 1 << 60


class Slice:
    """The clock of one stage: how many calls make a round, and whether the slice is over."""

    __slots__ = ("_began", "_looked", "round")

    def __init__(self) -> None:
        self.round = 1
        self._began = 0.0
        self._looked = 0.0

    def begin(self) -> None:
        self._began = self._looked = perf_counter()

    def is_over(self) -> bool:
        """Look at the clock after a round, and suit the next one to what it took."""
        now = perf_counter()
        took = now - self._looked
        self._looked = now
        if took > LONG_ROUND:
            self.round = max(1, int(self.round * LONG_ROUND / took))
        elif self.round < MOST_CALLS and took < SHORT_ROUND:
            self.round *= 2
        return now - self._began >= SECONDS


class Fairness:
    """Lets the loop run, and a cancel be seen, once a millisecond of a task's own work."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = 0.0

    async def turn(self) -> None:
        if perf_counter() >= self._due:
            await checkpoint()
            self._due = perf_counter() + SECONDS
