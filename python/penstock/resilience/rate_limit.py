"""`RateLimit`: how many attempts in how much time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from penstock import _clock as clock
from penstock.errors import Misuse

from .errors import RateLimited
from .limit import current_deadline
from .scope import check_scope, exchange_label, exchange_module, shared_state
from .strategy import Part, Place, Strategy, check_count, check_number

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("RateLimit",)


@dataclass(frozen=True, slots=True)
class RateLimit(Strategy):
    """At most `limit` attempts in `per` seconds; those beyond wait, or are refused.

    A token bucket by default: `burst` may come at once, then one each `per / limit` seconds. With
    `burst=1` they are evenly spaced (GCRA).

    Args:
        limit: attempts.
        per: seconds.
        burst: attempts that may come at once; None for `limit`.
        max_wait: seconds one may wait for its turn; beyond that `RateLimited` is raised at once.
        scope: "process", "machine" for all worker processes together, or "redis://host:port/db"
            for several machines, which divide the rate by demand; a machine that has not heard of
            others begins with a tenth of it, and keeps the share it has while Redis is away.

    Raises Misuse for a value out of range.

    """

    limit: int
    per: float = 1.0
    burst: int | None = None
    max_wait: float = 0.0
    scope: str = "process"

    def __post_init__(self) -> None:
        check_count("RateLimit", "limit", self.limit, 1)
        check_number("RateLimit", "per", self.per, above=True)
        if self.burst is not None:
            check_count("RateLimit", "burst", self.burst, 1)
            if self.burst > self.limit:
                raise Misuse(
                    f"RateLimit: burst={self.burst} is more than limit={self.limit}",
                    hint="so many never come within `per` seconds",
                )
        check_number("RateLimit", "max_wait", self.max_wait)
        check_scope("RateLimit", self.scope)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return RatePart(self, place)


class RatePart(Part):
    """The bucket."""

    def __init__(self, rate: RateLimit, place: Place) -> None:
        from penstock._native import RateState

        self.rate = rate
        self.place = place
        self.max_wait = round(rate.max_wait * 1e9)
        self.state = shared_state(
            rate.scope,
            place,
            partial(
                RateState,
                limit=rate.limit,
                per=round(rate.per * 1e9),
                burst=rate.burst or rate.limit,
                exchange=exchange_label(rate.scope),
            ),
        )
        self._link: object = None

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        self._exchange()
        wait = code.local("wait")
        take = code.bind("take", self.state.acquire)
        longest = code.bind("longest", self.max_wait)
        turn = code.bind("turn", self.turn if code.is_async else self.turn_blocking)
        return [
            f"{wait} = {take}(1, {longest})",
            f"if {wait}:",
            f"    {code.wait}{turn}({wait})",
            *body,
        ]

    def _exchange(self) -> None:
        rate, label = self.rate, exchange_label(self.rate.scope)
        if label is not None and self._link is None:
            most = rate.limit / rate.per
            self._link = exchange_module().link_rate(
                rate.scope, label, self.place, self.state, most=most
            )

    async def turn(self, wait: int) -> None:
        """Waits for the turn that was granted, or refuses."""
        seconds = self._granted(wait)
        try:
            await clock.sleep(seconds)
        except BaseException:
            self._give_back()
            raise

    def turn_blocking(self, wait: int) -> None:
        """The same in a thread."""
        seconds = self._granted(wait)
        try:
            clock.sleep_blocking(seconds)
        except BaseException:
            self._give_back()
            raise

    def _granted(self, wait: int) -> float:
        seconds = abs(wait) * 1e-9
        if wait > 0:
            if clock.now() + seconds < current_deadline():
                self.place.report("delayed", 0, seconds)
                return seconds
            self._give_back()
        error = RateLimited(self.place.policy, self.place.key, seconds)
        self.place.report("rejected", 0, seconds, error)
        raise error

    def _give_back(self) -> None:
        self.state.give_back(1)
