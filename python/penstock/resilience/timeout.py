"""`Timeout`: how long one attempt may take."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock import _clock as clock

from .armed import armed
from .errors import AttemptTimeout, DeadlineExceeded, TooManyAbandoned
from .lazy import Slot
from .limit import current_deadline
from .strategy import Part, Place, Strategy, check_count, check_number
from .threads import Errand, hand_out
from .weave_text import NOW

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Timeout",)


@dataclass(frozen=True, slots=True)
class Timeout(Strategy):
    """How long one attempt may take; then it is cancelled, and `AttemptTimeout` is raised.

    Only its own cancellation becomes that error; one that comes from outside in the same moment
    wins. A blocking attempt cannot be ended: it runs in a thread, which is left behind when its
    time is over, counted as "abandoned", and never more than `max_abandoned` at a time. Handing an
    attempt to a thread costs about 0.1 ms, so prefer the timeout of the client below. For an async
    generator it bounds the time to the first item.

    Args:
        seconds: for each attempt.
        max_abandoned: blocking attempts that outlived their time and are still running; beyond
            that, `TooManyAbandoned` is raised instead of starting another.

    Raises Misuse for a value out of range.

    """

    seconds: float
    max_abandoned: int = 16

    def __post_init__(self) -> None:
        check_number("Timeout", "seconds", self.seconds, above=True)
        check_count("Timeout", "max_abandoned", self.max_abandoned, 0)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return TimeoutPart(self, place)


class TimeoutPart(Part):
    """Async attempts are armed; blocking ones handed to a thread."""

    needs_task = True

    def __init__(self, timeout: Timeout, place: Place) -> None:
        self.timeout = timeout
        self.place = place
        self.slot = Slot()
        self.abandoned = 0
        self._counting = threading.Lock()

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        if not code.is_async:
            inner = code.cut(body)
            return [f"value = {code.bind('in_thread', self.in_thread)}({inner}, fn, args, kwargs)"]
        when = code.local("when")
        seconds = code.bind("seconds", self.timeout.seconds)
        return [
            f"{when} = {NOW} + {seconds}",
            *armed(code, body, when, self.slot, self.exceeded),
        ]

    def exceeded(self) -> AttemptTimeout:
        """Reports, and makes the error."""
        error = AttemptTimeout(
            f"policy {self.place.policy!r}: the attempt took more than {self.timeout.seconds:g} s"
        )
        self.place.report("timed_out", 0, self.timeout.seconds, error)
        return error

    def in_thread(self, inner: Callable[..., Any], fn: Any, args: Any, kwargs: Any) -> Any:
        """A blocking attempt, left behind when its time is over."""
        if self.abandoned >= self.timeout.max_abandoned:
            error = TooManyAbandoned(self.place.policy, self.place.key)
            self.place.report("rejected", error=error)
            raise error
        deadline = current_deadline()
        when = clock.now() + self.timeout.seconds
        context = contextvars.copy_context()
        errand = Errand(partial(context.run, inner, fn, args, kwargs), self._returned)
        hand_out(errand)
        try:
            in_time = errand.wait(min(when, deadline))
        except BaseException:  # Ctrl-C while waiting: the thread goes on alone
            self._abandon(errand)
            raise
        if in_time or not self._abandon(errand):
            return errand.result()
        if deadline < when:
            late = DeadlineExceeded(
                f"policy {self.place.policy!r}: the deadline is over, the attempt still running",
                hint="its thread goes on; give the client below a timeout of its own",
            )
            self.place.report("exceeded", 0, None, late)
            raise late
        raise self.exceeded()

    def _abandon(self, errand: Errand) -> bool:
        """Counts the thread as left behind; False if it has just finished after all."""
        with self._counting:
            if not errand.abandon():
                return False
            self.abandoned += 1
        self.place.report("abandoned")
        return True

    def _returned(self) -> None:
        with self._counting:
            self.abandoned -= 1
