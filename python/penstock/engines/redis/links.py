"""What every state that machines exchange has: a key, a name for its machine, a way to report."""

from __future__ import annotations

import json
import logging
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from penstock.resilience.strategy import Place

    from .exchange import Exchange

__all__ = ("SILENCE_MS", "Link")

_log = logging.getLogger("penstock.resilience")

SILENCE_MS = 5_000
"""A machine that has said nothing for so long is not counted any more."""

BUSY, IDLE = 0.1, 0.5
"""Seconds from one report to the next."""


class Link(ABC):
    """A state of this machine and what others say of theirs.

    Used by the exchange's thread; `status` and what a strategy asks may be called from any.
    """

    kind: ClassVar[str]
    script: ClassVar[str]

    def __init__(self, exchange: Exchange, place: Place, state: Any) -> None:
        self.exchange = exchange
        self.place = place
        self.state = state
        self.key = f"penstock:{{{place.policy}/{place.key}}}:{self.kind}"
        self.machine = f"{socket.gethostname()}-{state.machine:016x}"
        # Without where it is exchanged: a Redis may have another address on another machine.
        self.definition = state.definition.rsplit(" exchange=", 1)[0]
        self.is_due = True
        self.due_at = 0.0
        self.machines = 1
        self.trouble: str | None = "not heard of others yet"
        self._is_told = False

    def speaks(self) -> bool:
        """Whether this process reports for its machine now."""
        return bool(self.state.is_courier())

    @abstractmethod
    def arguments(self, now: float) -> list[str | int | float]:
        """What the script is told, after machine, definition and silence."""

    @abstractmethod
    def answered(self, answer: dict[str, Any]) -> float:
        """Does what the answer asks for; seconds until the next report."""

    def forked(self) -> None:
        """In a child: what the parent's threads were about is theirs."""
        self.is_due = True

    def command(self, now: float) -> list[Any]:
        """The whole command."""
        told = [self.key, self.machine, self.definition, SILENCE_MS, *self.arguments(now)]
        return ["EVAL", self.script, 1, *told]

    def heard(self, reply: str | bytes, now: float) -> None:
        """Takes Redis's answer."""
        answer = json.loads(reply)
        if "conflict" in answer:
            self.failed(f"other machines have it as: {answer['conflict']}", "conflicted")
            self.due_at = now + IDLE
            return
        self.machines = answer["machines"]
        self.due_at = now + self.answered(answer)
        self.well()

    def well(self) -> None:
        """In touch with the others: told if it was told that it was not."""
        self.trouble = None
        if self._is_told:
            self._is_told = False
            self.place.report("recovered")

    def failed(self, trouble: str, event: str = "degraded", error: Exception | None = None) -> None:
        """Goes on without the others: told once."""
        self.trouble = trouble
        self.is_due = True
        if not self._is_told:
            self._is_told = True
            _log.warning(
                "policy %r: %s goes on without other machines: %s",
                self.place.policy,
                self.place.report.strategy,
                trouble,
            )
            self.place.report(event, error=error)

    def status(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "over": self.exchange.label,
            "machine": self.machine,
            "machines": self.machines,
            "is_degraded": self.trouble is not None,
            "trouble": self.trouble,
        }
