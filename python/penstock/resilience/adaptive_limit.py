"""`AdaptiveLimit`: as many calls at once as the other side keeps up with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from penstock import _clock as clock
from penstock.errors import Misuse

from .errors import LimitExceeded
from .scope import check_scope, shared_state
from .strategy import Part, Place, Strategy, check_count, check_number
from .weave_text import indented
from .which import Which, check_which, takes

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("AdaptiveLimit",)


_ALONE = 'it learns from what its own machine sees: scope="machine" on each'


@dataclass(frozen=True, slots=True)
class AdaptiveLimit(Strategy):
    """A limit on calls at once that follows how long they take (a gradient, as in Envoy).

    It grows while calls take about as long as without load, and shrinks when they take longer or
    are dropped. Beyond it `LimitExceeded` is raised at once.

    Args:
        initial: the limit at first.
        min_limit: never lower.
        max_limit: never higher.
        window: seconds over which durations are compared.
        tolerance: how many times the duration without load still counts as keeping up.
        on: exceptions that mean overload; others, and cancellations, say nothing about it.
        scope: "process", or "machine" for all worker processes together.

    Raises Misuse for a value out of range.

    """

    initial: int = 20
    min_limit: int = 1
    max_limit: int = 200
    window: float = 1.0
    tolerance: float = 1.5
    on: Which = TimeoutError
    scope: Literal["process", "machine"] = "process"

    def __post_init__(self) -> None:
        check_count("AdaptiveLimit", "min_limit", self.min_limit, 1)
        check_count("AdaptiveLimit", "initial", self.initial, 1)
        check_count("AdaptiveLimit", "max_limit", self.max_limit, 1)
        if not self.min_limit <= self.initial <= self.max_limit:
            raise Misuse(
                f"AdaptiveLimit: initial={self.initial} is not between "
                f"min_limit={self.min_limit} and max_limit={self.max_limit}"
            )
        check_number("AdaptiveLimit", "window", self.window, above=True)
        check_number("AdaptiveLimit", "tolerance", self.tolerance, 1.0)
        check_which("AdaptiveLimit", "on", self.on)
        check_scope("AdaptiveLimit", self.scope, alone=_ALONE)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return AdaptivePart(self, place)


class AdaptivePart(Part):
    """The permits and what was learned from them."""

    def __init__(self, limit: AdaptiveLimit, place: Place) -> None:
        from penstock._native import AdaptiveState

        self.limit = limit
        self.place = place
        self.state = shared_state(
            limit.scope,
            place,
            partial(
                AdaptiveState,
                initial=limit.initial,
                min_limit=limit.min_limit,
                max_limit=limit.max_limit,
                window=round(limit.window * 1e9),
                tolerance=limit.tolerance,
            ),
        )

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        permit, since = code.local("permit"), code.local("since")
        enter = code.bind("enter", self.enter)
        record = code.bind("record", self.record)
        lines = [
            f"{permit}, {since} = {enter}()",
            "try:",
            *indented(body),
            "except BaseException as error:",
            f"    {record}({permit}, {since}, error)",
            "    raise",
        ]
        if code.is_stream:
            keep = code.bind("keep", partial(partial, self.record))
            return [*lines, f"held.append({keep}({permit}, {since}))"]
        return [*lines, f"{record}({permit}, {since})"]

    def enter(self) -> tuple[int, int]:
        """A permit, and since when."""
        now = clock.now_ns()
        permit = self.state.acquire(now)
        if permit is None:
            error = LimitExceeded(self.place.policy, self.place.key)
            self.place.report("rejected", error=error)
            raise error
        return permit, now

    def record(self, permit: int, since: int, error: BaseException | None = None) -> None:
        """Gives the permit back, with what the call says about the other side."""
        says: bool | None = None
        try:
            if error is None:
                says = True
            elif isinstance(error, Exception) and takes(self.limit.on, error):
                says = False
        finally:
            now = clock.now_ns()
            self.state.record(permit, says, now - since, now)
