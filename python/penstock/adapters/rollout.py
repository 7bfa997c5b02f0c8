"""`Rollout`: a share that grows by itself while the new implementation is healthy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock import _clock as clock
from penstock.errors import Misuse

from .events import count
from .routing import Side

__all__ = ("Rollout", "RolloutState")

_log = logging.getLogger("penstock.adapters")

Status: TypeAlias = Literal["rolling out", "complete", "fallen back"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """How the share of a `Strangler`'s new implementation grows, and when it falls back to 0.

    A step lasts for `hold` seconds, and until `min_calls` calls of it went to the new one; then the
    next one begins. As soon as the new one, after so many calls, fails more often than the old one
    did meanwhile, by more than `max_error_rate`, everything goes to the old one, until somebody
    calls `resume()`. Errors that both have, such as those of bad requests, do not matter.

    What the old one fails is believed of `min_calls` calls of it as well, in the same step. Where
    fewer went to it, as with nearly all at the new one, the last share so found stands, and
    before there is one, none: so begin with a step that leaves the old one enough. At 1.0 it is
    what the old one had before, until calls that a header or `forced` sends there say otherwise.

    Counted by each process by itself, and judged as calls end: there is no task, and a step without
    calls does not end. At the last step the watch goes on, in windows of `hold` seconds.

    Args:
        steps: shares, growing, each above 0 and at most 1.
        hold: seconds of each.
        max_error_rate: by how much the new one's share of failed calls may exceed the old one's.
        min_calls: of the new one, before it is judged; and of the old one, before it is believed.
        on_change: is given the state after each change, in the thread of the call that caused it.

    Raises Misuse for values that cannot work.

    """

    steps: Sequence[float] = (0.01, 0.05, 0.25, 1.0)
    hold: float = 600.0
    max_error_rate: float = 0.01
    min_calls: int = 100
    on_change: Callable[[RolloutState], object] | None = None

    def __post_init__(self) -> None:
        steps = tuple(self.steps) if isinstance(self.steps, Sequence) else ()
        if not steps or not all(_is_number(each) and 0 < each <= 1 for each in steps):
            raise Misuse(f"Rollout: steps={self.steps!r}", hint="shares above 0, at most 1")
        if list(steps) != sorted(set(steps)):
            raise Misuse(f"Rollout: steps={self.steps!r} do not grow")
        if not _is_number(self.hold) or not 0 <= self.hold < float("inf"):
            raise Misuse(f"Rollout: hold={self.hold!r}", hint="seconds, from 0")
        if not _is_number(self.max_error_rate) or not 0 <= self.max_error_rate < 1:
            raise Misuse(f"Rollout: max_error_rate={self.max_error_rate!r}", hint="0 up to 1")
        if isinstance(self.min_calls, bool) or not isinstance(self.min_calls, int):
            raise Misuse(f"Rollout: min_calls={self.min_calls!r}", hint="a whole number from 1")
        if self.min_calls < 1:
            raise Misuse(f"Rollout: min_calls={self.min_calls!r}", hint="a whole number from 1")
        if self.on_change is not None and not callable(self.on_change):
            raise Misuse(f"Rollout: on_change={self.on_change!r} is no function")


class RolloutState:
    """Where a roll-out stands; for any thread."""

    def __init__(self, name: str, rollout: Rollout) -> None:
        self.name = name
        self.rollout = rollout
        self.status: Status = "complete" if len(rollout.steps) == 1 else "rolling out"
        self.reason = ""
        """Why it fell back; empty while it has not."""
        self.step = 0
        self.share: float = rollout.steps[0]
        """Of the calls that go to the new one; 0 after a fall-back."""
        self._lock = threading.Lock()
        self._old_rate = 0.0
        self._begin()

    def _begin(self) -> None:
        self._since = clock.now()
        self._calls = {"old": 0, "new": 0}
        self._errors = {"old": 0, "new": 0}

    def record(self, side: Side, failed: bool) -> None:
        """Counts a call that has ended, and judges."""
        with self._lock:
            self._calls[side] += 1
            self._errors[side] += failed
            changed = side == "new" and self._judge()
        if changed:
            self._tell()

    def _judge(self) -> bool:
        rollout, calls, errors = self.rollout, self._calls, self._errors
        if self.status == "fallen back" or calls["new"] < rollout.min_calls:
            return False
        # A few calls say nothing: with nearly all at the new one there is only what was to compare.
        if calls["old"] >= rollout.min_calls:
            old_rate = errors["old"] / calls["old"]
        else:
            old_rate = self._old_rate
        new_rate = errors["new"] / calls["new"]
        if new_rate - old_rate > rollout.max_error_rate:
            self._fall_back(
                f"{errors['new']} of {calls['new']} calls of the new one failed "
                f"({new_rate:.2%}), and {old_rate:.2%} of the old one's"
            )
            return True
        if clock.now() - self._since < rollout.hold:
            return False
        self._old_rate = old_rate
        self._begin()
        if self.status == "complete":
            return False
        self.step += 1
        self.share = rollout.steps[self.step]
        if self.step == len(rollout.steps) - 1:
            self.status = "complete"
        return True

    def _fall_back(self, reason: str) -> None:
        self.status = "fallen back"
        self.reason = reason
        self.share = 0.0
        self._begin()

    def fall_back(self, reason: str) -> None:
        """Sends everything to the old one from now on."""
        with self._lock:
            self._fall_back(reason)
        self._tell()

    def resume(self, step: int = 0) -> None:
        """Begins anew, at a step. Raises Misuse for one that there is not."""
        steps = self.rollout.steps
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < len(steps):
            raise Misuse(f"roll-out {self.name!r}: step={step!r}", hint=f"0 to {len(steps) - 1}")
        with self._lock:
            self.status = "complete" if step == len(steps) - 1 else "rolling out"
            self.reason = ""
            self.step = step
            self.share = steps[step]
            self._begin()
        self._tell()

    def _tell(self) -> None:
        if self.status == "fallen back":
            count(self.name, "fell_back")
            _log.warning("%r falls back to the old implementation: %s", self.name, self.reason)
        else:
            count(self.name, "stepped")
            _log.info("%r: %.4g of the calls go to the new implementation", self.name, self.share)
        if self.rollout.on_change is not None:
            try:
                self.rollout.on_change(self)
            except Exception:
                _log.exception("on_change of roll-out %r failed", self.name)

    def __repr__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"<roll-out {self.name!r} {self.status}, {self.share:g} to the new one{why}>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
