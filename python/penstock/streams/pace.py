"""How much is done in one go: slices of about a millisecond, however dear a function is.

A stage that runs in the loop's thread works through slices and lets the loop run between them.
A slice starts at one item, since the first call of an unknown function may already be long,
and doubles while slices stay well below a millisecond: 256 calls of a 50 ns function are
reached after eight slices, a 5 ms function never gets more than one call per slice.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from anyio.lowlevel import checkpoint

__all__ = ("EVERYTHING", "Fairness", "Slice")

SECONDS: Final = 0.001
LARGEST: Final = 4096

# What a taker asks for that can use as much as comes.
EVERYTHING: Final = 1 << 60


class Slice:
    """The number of items that keep one stage busy for about a millisecond."""

    __slots__ = ("_began", "size")

    def __init__(self) -> None:
        self.size = 1
        self._began = 0.0

    def begin(self) -> int:
        self._began = perf_counter()
        return self.size

    def end(self) -> None:
        took = perf_counter() - self._began
        if took > SECONDS:
            self.size = max(1, int(self.size * SECONDS / took))
        elif took < SECONDS / 4 and self.size < LARGEST:
            self.size *= 2


class Fairness:
    """Lets the loop run, and a cancel be seen, once a millisecond of a task's own work."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = 0.0

    async def turn(self) -> None:
        if perf_counter() >= self._due:
            await checkpoint()
            self._due = perf_counter() + SECONDS
