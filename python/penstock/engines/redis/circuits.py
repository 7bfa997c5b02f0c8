"""A circuit of several machines: when to believe the others, and who probes.

Only what a machine has seen itself is evidence: one that opened because others said so is not
counted among them. An opening is believed by

- a machine of which no call has succeeded in the last two seconds, from any one machine;
- one whose own calls succeed, from more than half of all machines and at least two, so that one
  bad node cannot shut out the rest.

It is believed if it came after the own circuit last changed: a circuit that was closed since, by a
probe or by hand, stays so. It lasts as long as it does there. When nobody is open or probes any
more, and one has closed, those that only followed close, too.

One machine probes at a time, under a lease that lasts two seconds from its last report, with a
fence. A probe that failed on it begins everybody's `open_for` anew; the outcome of a probe whose
lease had run out counts on its own machine alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from penstock import _clock as clock

from .links import BUSY, IDLE, Link
from .scripts import CIRCUIT

if TYPE_CHECKING:
    from penstock.resilience.strategy import Place

    from .exchange import Exchange

__all__ = ("CircuitLink",)

LEASE = 2.0
"""Seconds for which a machine may probe after its last report."""

EVIDENCE = 2.0
"""Seconds for which a success is evidence against what others say."""

_ASK_AGAIN = 0.05
"""Seconds for which calls are refused without asking again who probes."""

_LONGER = 50_000_000
"""Nanoseconds by which an open circuit must last longer elsewhere to be begun anew here."""


class CircuitLink(Link):
    """One breaker, and those of the same name on other machines."""

    kind: ClassVar[str] = "circuit"
    script: ClassVar[str] = CIRCUIT

    def __init__(self, exchange: Exchange, place: Place, state: Any) -> None:
        super().__init__(exchange, place, state)
        self.reporters = 0
        self._known_fence = 0
        self._probe_until = 0.0
        self._refused_until = 0.0
        self._waking: Callable[[], object] | None = None
        self._asking = threading.Lock()
        self._said: tuple[int, str] = (0, "closed")
        self._said_at = 0.0

    def speaks(self) -> bool:
        """See `Link`: a change or a question is told by whoever has it."""
        return self.is_due or super().speaks()

    # What the strategy asks.

    def changed(self) -> None:
        """Something is to be told or asked at once."""
        self.is_due = True
        self.exchange.wake()

    def may_probe(self) -> Literal["yes", "no", "ask"]:
        """Whether this machine may probe; without Redis it decides by itself."""
        if self.trouble is not None:
            return "yes"
        now = time.monotonic()
        if now < self._probe_until:
            return "yes"
        return "no" if now < self._refused_until or self._asking.locked() else "ask"

    def ask(self, wake: Callable[[], object]) -> bool:
        """Asks for the lease, and calls `wake` when there is an answer; False: another asks."""
        if not self._asking.acquire(blocking=False):
            return False
        self._waking = wake
        self.changed()
        return True

    def asked(self) -> None:
        """Whoever asked has its answer, or waits no longer."""
        self._waking = None
        self._asking.release()

    # What the exchange does.

    def forked(self) -> None:
        """See `Link`."""
        super().forked()
        self._asking, self._waking = threading.Lock(), None
        self._probe_until = 0.0

    def arguments(self, now: float) -> list[str | int | float]:
        """See `Link`."""
        self.is_due = False
        self._said_at = now
        moment = clock.now_ns()
        if super().speaks():
            self.state.look_for_success(moment)
        seen = self.state.snapshot(moment)
        self._said = (seen["generation"], seen["state"])
        left = self.state.retry_after(moment) // 1_000_000
        return [
            seen["state"],
            seen["generation"],
            int(not seen["is_followed"]),
            left,
            int(self._waking is not None),
            int(LEASE * 1000),
            self._known_fence,
            self.exchange.channel,
        ]

    def answered(self, answer: dict[str, Any]) -> float:
        """See `Link`."""
        self._known_fence = answer["fence"]
        generation, state = self._said
        if answer["granted"]:
            # Redis counts from when it got the question, which is later.
            self._probe_until = self._said_at + LEASE
        elif state != "half_open":
            self._probe_until = 0.0
        if answer["wait"]:
            self._refused_until = time.monotonic() + min(answer["wait"] / 1000, _ASK_AGAIN)
        waking = self._waking
        if waking is not None and (answer["granted"] or answer["wait"]):
            waking()
        others = answer.get("others", [])
        opened = [it for it in others if it["state"] == "open" and it["is_own"] and it["left"] > 0]
        self.reporters = len(opened)
        later = [it for it in opened if it["changed"] > answer["changed"]]
        if state == "closed" and later and self._believes(len(opened)):
            self._open_for(generation, later)
        elif state == "open":
            self._while_open(generation, answer, others, later)
        return BUSY if state == "half_open" else IDLE

    def _believes(self, reporters: int) -> bool:
        age = self.state.snapshot()["success_age"]
        if age is None or age > EVIDENCE * 1e9:
            return True
        return reporters >= 2 and 2 * reporters > self.machines

    def _open_for(self, generation: int, reports: list[dict[str, Any]]) -> None:
        left = max(round(it["left"] * 1e6) for it in reports)
        if self.state.follow_open(generation, max(left, 1)):
            self.changed()

    def _while_open(
        self,
        generation: int,
        answer: dict[str, Any],
        others: list[dict[str, Any]],
        later: list[dict[str, Any]],
    ) -> None:
        left = self.state.retry_after()
        failed = [
            it
            for it in later
            if it["probed"] == answer["fence"] > 0 and it["left"] * 1e6 > left + _LONGER
        ]
        if failed:
            self._open_for(generation, failed)
            return
        is_over = not any(
            it["state"] == "half_open" or (it["state"] == "open" and it["is_own"]) for it in others
        )
        has_closed = any(
            it["state"] == "closed" and it["changed"] > answer["changed"] for it in others
        )
        if is_over and has_closed and self.state.follow_closed(generation):
            self.changed()

    def failed(self, trouble: str, event: str = "degraded", error: Exception | None = None) -> None:
        """See `Link`: whoever waits goes on without others."""
        super().failed(trouble, event, error)
        waking = self._waking
        if waking is not None:
            waking()

    def status(self) -> dict[str, Any]:
        """See `Link`."""
        return {**super().status(), "reporters": self.reporters}
