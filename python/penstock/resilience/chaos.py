"""`Chaos`: faults on purpose, to see whether the strategies around them do their work."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from penstock.errors import Misuse

from .strategy import Part, Place, Strategy, check_number

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Chaos", "Decision")

Decision = Exception | type[Exception] | float | Literal["pass"]
"""What a script says of one attempt: raise this, wait so many seconds first, or let it pass."""


@dataclass(frozen=True, slots=True)
class Chaos(Strategy):
    """Injects faults and delays into a share of the attempts; innermost, so that all else sees it.

    Args:
        error: what is raised: an exception, a class of one, or a function that makes one.
        error_rate: the share of attempts that raise it, 0 to 1.
        latency: seconds by which a share of the attempts is delayed.
        latency_rate: that share, 0 to 1.
        enabled: asked before each attempt; a feature flag, say.
        script: decisions for the attempts in order, in place of chance; afterwards all pass. See
            `penstock.testing.scripted`.
        random: draws from 0 to 1; hand one in to make a test certain.

    Raises Misuse for a value out of range, or if it would never do anything.

    """

    error: Exception | Callable[[], Exception] = ConnectionError
    error_rate: float = 0.0
    latency: float = 0.0
    latency_rate: float = 0.0
    enabled: Callable[[], bool] | None = None
    script: tuple[Decision, ...] = ()
    random: Callable[[], float] = _random.random

    def __post_init__(self) -> None:
        check_number("Chaos", "error_rate", self.error_rate, 0.0, 1.0)
        check_number("Chaos", "latency", self.latency)
        check_number("Chaos", "latency_rate", self.latency_rate, 0.0, 1.0)
        if not isinstance(self.error, Exception) and not callable(self.error):
            raise Misuse(f"Chaos: error={self.error!r} is no exception and makes none")
        for decision in self.script:
            if isinstance(decision, Exception) or decision == "pass":
                continue
            if isinstance(decision, type) and issubclass(decision, Exception):
                continue
            check_number("Chaos", "a delay in script", decision)
        if not (self.error_rate or (self.latency and self.latency_rate) or self.script):
            raise Misuse(
                "Chaos: it would never do anything",
                hint="set error_rate, or latency with latency_rate, or a script",
            )

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return ChaosPart(self, place)


class ChaosPart(Part):
    """Decides before each attempt."""

    def __init__(self, chaos: Chaos, place: Place) -> None:
        self.chaos = chaos
        self.place = place
        self._script = iter(chaos.script)

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        delay = code.local("delay")
        sleep = "clock.sleep" if code.is_async else "clock.sleep_blocking"
        return [
            f"{delay} = {code.bind('strike', self.strike)}()",
            f"if {delay}:",
            f"    {code.wait}{sleep}({delay})",
            *body,
        ]

    def strike(self) -> float:
        """Raises the fault, or gives the seconds of delay."""
        chaos = self.chaos
        if chaos.enabled is not None and not chaos.enabled():
            return 0.0
        decision: Any = None
        if chaos.script:
            decision = next(self._script, "pass")
        elif chaos.error_rate and chaos.random() < chaos.error_rate:
            decision = chaos.error
        elif chaos.latency_rate and chaos.random() < chaos.latency_rate:
            decision = chaos.latency
        if decision is None or decision == "pass":
            return 0.0
        if isinstance(decision, (int, float)):
            self.place.report("delayed", 0, decision)
            return float(decision)
        # A fresh one each time: an exception collects the traces of all its raises.
        error = _fresh(decision)
        self.place.report("injected", 0, None, error)
        raise error


def _fresh(decision: Any) -> Exception:
    if isinstance(decision, Exception):
        import copy

        try:
            return copy.copy(decision).with_traceback(None)
        except Exception:
            return decision
    made = decision()
    if isinstance(made, Exception):
        return made
    raise Misuse(f"Chaos: error={decision!r} made {made!r}, which is no exception")
