"""One stream of what strategies do: as counters, as events of the current span, to listeners.

Only what happens besides a plain success is an event, so that a successful call costs none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from penstock import metrics
from penstock.tracing import current_span

__all__ = ("Event", "Reporter", "subscribe")

_log = logging.getLogger("penstock.resilience")
_counted = metrics.counter(
    "penstock_resilience_events",
    "what strategies did besides letting a call pass",
    ("policy", "strategy", "event"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a strategy did.

    Args:
        policy: the policy's name.
        key: which of its keys; empty without `keyed`.
        strategy: the class of the strategy, such as "Retry".
        kind: what it did, such as "retried", "gave_up", "timed_out", "rejected", "opened".
        attempt: number of the attempt it concerns, from 1; 0 where it concerns the call.
        seconds: a pause, a limit or a wait; None where there is none.
        error: what was raised; None where nothing was.

    """

    policy: str
    key: str
    strategy: str
    kind: str
    attempt: int = 0
    seconds: float | None = None
    error: BaseException | None = None


_Listener = Callable[[Event], object]
listeners: tuple[_Listener, ...] = ()
"""Replaced as a whole, so that it can be read without a lock; by hot paths too."""
_subscribing = threading.Lock()


def subscribe(listener: _Listener) -> Callable[[], None]:
    """Calls `listener` with every `Event` of the process; returns what ends that.

    It is called where the event happens: quickly, please, and from any thread. What it raises is
    logged, and changes nothing for the call.
    """
    global listeners  # noqa: PLW0603 - a tuple that is replaced can be read without a lock
    with _subscribing:
        listeners = (*listeners, listener)

    def off() -> None:
        global listeners  # noqa: PLW0603
        with _subscribing:
            # Equal is not the same: another listener may compare equal to this one.
            listeners = tuple(each for each in listeners if each is not listener)

    return off


class Reporter:
    """Reports for one strategy of one policy."""

    __slots__ = ("_count", "key", "policy", "strategy")

    def __init__(self, policy: str, key: str, strategy: str) -> None:
        self.policy = policy
        self.key = key
        self.strategy = strategy
        self._count: dict[str, Callable[[], None]] = {}

    def __call__(
        self,
        kind: str,
        attempt: int = 0,
        seconds: float | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Counts, tells the current span and the listeners. Never raises."""
        try:
            self._count[kind]()
        except KeyError:
            self.count_of(kind)()
        self.tell(kind, attempt, seconds, error)

    def count_of(self, kind: str) -> Callable[[], None]:
        """What counts one event of a kind; with `tell` it is all that calling this does."""
        counts = self._count.get(kind)
        if counts is None:
            bound = _counted.bind(policy=self.policy, strategy=self.strategy, event=kind)
            counts = self._count[kind] = bound.inc
        return counts

    def tell(
        self,
        kind: str,
        attempt: int = 0,
        seconds: float | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Tells the current span and the listeners. Never raises."""
        span = current_span()
        if span is None and not listeners:
            return
        if span is not None and span.is_recording:
            attributes: dict[str, object] = {"policy": self.policy}
            if self.key:
                attributes["key"] = self.key
            if attempt:
                attributes["attempt"] = attempt
            if seconds is not None:
                attributes["seconds"] = seconds
            if error is not None:
                attributes["error"] = type(error).__qualname__
            span.add_event(f"{self.strategy}.{kind}", attributes)
        if listeners:
            event = Event(self.policy, self.key, self.strategy, kind, attempt, seconds, error)
            for listener in listeners:
                try:
                    listener(event)
                except Exception:
                    _log.exception("a listener failed with %r", event)
