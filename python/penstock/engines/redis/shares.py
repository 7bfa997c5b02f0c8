"""A rate, or a budget's floor, divided by machines: shares follow demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .links import BUSY, IDLE, Link
from .scripts import SHARE

if TYPE_CHECKING:
    from penstock.resilience.strategy import Place

    from .exchange import Exchange

__all__ = ("BudgetLink", "RateLink")

GRACE_MS = 1_000
"""Where Redis came up empty, shares do not grow for so long: others have not spoken yet."""

EVEN = 0.2
"""This much of the whole is divided evenly, so that a machine that was idle can begin."""

FLOOR = 0.1
"""The share of a machine that has not heard of others; native states begin with it."""

_MEMORY = 0.7
"""What of a demand is remembered from one report to the next."""


class ShareLink(Link):
    """Asks for this machine's share by its demand, and keeps the last one while Redis is away."""

    script: ClassVar[str] = SHARE

    def __init__(self, exchange: Exchange, place: Place, state: Any, most: float) -> None:
        super().__init__(exchange, place, state)
        self.most = most
        self.has_share = False
        self._demand = 0.0
        self._seen: tuple[int, float] | None = None

    def speaks(self) -> bool:
        """See `Link`."""
        if super().speaks():
            return True
        self._seen = None  # whoever takes over begins to count anew
        self.is_due = False
        self.well()
        return False

    def held(self) -> float:
        """What this machine may have used of the whole, as a share."""
        return float(self.state.share)

    def arguments(self, now: float) -> list[str | int | float]:
        """See `Link`."""
        self.is_due = False
        asked = self.state.asked
        if self._seen is not None:
            before, at = self._seen
            # A machine that asks in vain in a loop has no right to more than there is.
            pace = min((asked - before) / max(now - at, 1e-3), self.most)
            self._demand = max(pace, _MEMORY * self._demand + (1 - _MEMORY) * pace)
        self._seen = (asked, now)
        weight = f"{self._demand:.6g}" if self._demand > 1e-3 else "0"
        # Also one that a process before this one was given.
        has_share = self.has_share or self.state.share != FLOOR
        return [f"{self.held():.6f}", weight, int(has_share), GRACE_MS, EVEN]

    def answered(self, answer: dict[str, Any]) -> float:
        """See `Link`."""
        self.has_share = True
        share = min(max(float(answer["share"]), 1e-6), 1.0)
        if abs(share - self.state.share) > 1e-4 * share:
            self.state.set_share(share)
        return BUSY if self._demand > 1e-3 or self.machines > 1 else IDLE

    def status(self) -> dict[str, Any]:
        """See `Link`."""
        return {**super().status(), "share": self.state.share}


class RateLink(ShareLink):
    """Of a `RateLimit`."""

    kind: ClassVar[str] = "rate"


class BudgetLink(ShareLink):
    """Of a `Budget`: what calls earn is their machine's; the floor is divided.

    What was spent of it in the window counts as held until the window has passed.
    """

    kind: ClassVar[str] = "budget"

    def __init__(
        self, exchange: Exchange, place: Place, state: Any, most: float, window: float
    ) -> None:
        super().__init__(exchange, place, state, most)
        self.floor = most * window

    def held(self) -> float:
        """See `ShareLink`."""
        snapshot = self.state.snapshot()
        share = float(self.state.share)
        by_calls = float(snapshot["earned"]) - share * self.floor
        return min(max(share, (float(snapshot["spent"]) - by_calls) / self.floor), 1.0)
