"""`Budget`: how much retries and hedges may add to the load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .scope import check_scope, exchange_label, exchange_module, shared_state
from .strategy import check_number

if TYPE_CHECKING:
    from .strategy import Place

__all__ = ("Budget", "BudgetPart")


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many extra attempts for each call: a dead dependency is not buried in retries.

    Args:
        ratio: extra attempts per call, over the last `window` seconds; 0.2 adds a fifth at most.
        min_per_second: extra attempts that are allowed however few calls there are.
        window: seconds for which a call earns its share.
        scope: "process", "machine" for one budget of all worker processes of this machine, or
            "redis://host:port/db" for several machines: what a call earns is its machine's, and
            `min_per_second` is divided among them by demand. A machine that has not heard of
            others begins with a tenth of it, and keeps the share it has while Redis is away.

    Raises Misuse for a value out of range.

    """

    ratio: float = 0.2
    min_per_second: float = 10.0
    window: float = 10.0
    scope: str = "process"

    def __post_init__(self) -> None:
        check_number("Budget", "ratio", self.ratio, 0.0, 10.0)
        check_number("Budget", "min_per_second", self.min_per_second)
        check_number("Budget", "window", self.window, 0.0, above=True)
        check_scope("Budget", self.scope)

    def state(self, place: Place) -> BudgetPart:
        """What is earned and spent by one key of a policy."""
        from penstock._native import BudgetState

        label = exchange_label(self.scope)
        state = shared_state(
            self.scope,
            place,
            partial(
                BudgetState,
                ratio=self.ratio,
                min_per_second=self.min_per_second,
                window=round(self.window * 1e9),
                exchange=label,
            ),
        )
        part = BudgetPart(state)
        if label is not None and self.min_per_second > 0:
            part.exchange = partial(
                exchange_module().link_budget,
                self.scope,
                label,
                place,
                state,
                most=self.min_per_second,
                window=self.window,
            )
        return part


class BudgetPart:
    """A native budget on the clock in force."""

    __slots__ = ("_link", "_state", "deposit", "exchange")

    def __init__(self, state: Any) -> None:
        self._state = state
        self._link: object = None
        self.exchange: Callable[[], object] | None = None
        """Begins to divide it with other machines; None where there are none."""
        self.deposit: Callable[[], None] = state.deposit

    def begin(self) -> None:
        """Before the first call under it: what is divided with other machines is theirs, too."""
        if self.exchange is not None and self._link is None:
            self._link = self.exchange()

    def withdraw(self) -> bool:
        """Whether one more attempt is within the budget."""
        return bool(self._state.withdraw())
