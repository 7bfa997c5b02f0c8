"""`Deadline`: the total time of a call, with all its attempts, pauses and queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock import _clock as clock
from penstock._deadline import deadline_variable

from .armed import armed
from .errors import DeadlineExceeded
from .lazy import Slot
from .limit import current_deadline
from .strategy import Part, Place, Strategy, check_number
from .weave_text import NOW, indented

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Deadline",)


@dataclass(frozen=True, slots=True)
class Deadline(Strategy):
    """The total time a call may take, whatever it does.

    It travels downwards: policies called inside share it, and none outlives it; one that comes
    with the trace context counts as well. What cannot start in time is not started. Async calls
    are cancelled and raise `DeadlineExceeded`; a blocking call cannot be, so there it bounds the
    waits between attempts, and the attempts too where a `Timeout` runs them in threads.

    Args:
        seconds: from the moment the call enters this strategy.

    Raises Misuse for a value out of range.

    """

    seconds: float

    def __post_init__(self) -> None:
        check_number("Deadline", "seconds", self.seconds, above=True)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return DeadlinePart(self, place)


class DeadlinePart(Part):
    """Arms, and lets what is inside know."""

    needs_task = True

    def __init__(self, deadline: Deadline, place: Place) -> None:
        self.seconds = deadline.seconds
        self.place = place
        self.slot = Slot()

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """Sets the context variable for the time of the call, and arms where that can cancel."""
        when, token = code.local("when"), code.local("token")
        begin = code.bind("begin", self.begin)
        enter = code.bind("enter", deadline_variable.set)
        leave = code.bind("leave", deadline_variable.reset)
        inner = body
        if code.is_async:
            inner = armed(code, body, when, self.slot, self.exceeded)
        return [
            f"{when} = {begin}({NOW})",
            f"{token} = {enter}({when})",
            "try:",
            *indented(inner),
            "finally:",
            f"    {leave}({token})",
        ]

    def begin(self, now: float) -> float:
        """When the call has to be over. Raises DeadlineExceeded if that has passed."""
        when = min(now + self.seconds, current_deadline())
        if when <= now:
            raise self.exceeded("is over before the call began")
        return when

    def begin_now(self) -> float:
        """The same by the clock in force."""
        return self.begin(clock.now())

    def exceeded(self, what: str | None = None) -> DeadlineExceeded:
        """Reports, and makes the error."""
        what = what or f"of {self.seconds:g} s, or a sooner one around it, is over"
        error = DeadlineExceeded(
            f"policy {self.place.policy!r}: the deadline {what}",
            hint="the time is for all attempts and pauses together; Timeout bounds one attempt",
        )
        self.place.report("exceeded", 0, self.seconds, error)
        return error
