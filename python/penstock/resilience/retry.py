"""`Retry`: what is tried again, how often, and after which pauses."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from penstock import _clock as clock
from penstock.errors import Misuse

from .budget import Budget
from .limit import current_deadline
from .retry_after import retry_after
from .strategy import Part, Place, Strategy, check_number
from .weave_text import indented
from .which import Which, check_which, takes

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Retry",)


@dataclass(frozen=True, slots=True)
class Retry(Strategy):
    """How often something is tried, what counts as a failure, and how long to pause in between.

    An immutable value. In a `Policy` it re-runs what is inside it; after the last attempt the
    call's own exception is raised, with one note for each attempt. A cancellation, Ctrl-C and
    exit pass through at once, also during a pause. No pause is begun that would end after the
    deadline. Sagas, message queues and relays take `attempts` and the pauses from it.

    Args:
        attempts: calls in all, the first one included; 1 never repeats.
        delay: seconds before the second attempt.
        multiplier: each further pause is so many times as long as the one before.
        max_delay: seconds; no pause is longer.
        jitter: the share of each pause that is drawn by lot, 0 to 1, so that many who failed
            together do not come back together. A pause lies between (1 - jitter) of its length
            and its length; 1.0 is "full jitter". "decorrelated" draws between `delay` and three
            times the pause before.
        on: exceptions that are tried again, or a function that decides. What a policy itself
            refused (an open circuit, a full bulkhead) is tried again only if named here.
        on_result: a function that says of a result that it is to be tried again; after the last
            attempt the result is returned as it is.
        retry_after: a function that reads from an exception how many seconds the other side asks
            to wait, None if it does not say. By default an attribute `retry_after`, or that header
            of an exception's `response`. A pause is never shorter; beyond `max_retry_after` there
            is no further attempt.
        max_retry_after: seconds.
        budget: bounds what retries add to the load, over all calls of the policy.

    Raises Misuse for a value that cannot work.

    Example:
        >>> retry = Retry(attempts=4, delay=1.0, jitter=0.0)
        >>> [retry.pause(attempt) for attempt in (1, 2, 3)]
        [1.0, 2.0, 4.0]

    """

    attempts: int = 3
    delay: float = 0.5
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float | Literal["decorrelated"] = 0.5
    on: Which = Exception
    on_result: Callable[[Any], bool] | None = None
    retry_after: Callable[[Exception], float | None] = retry_after
    max_retry_after: float = 60.0
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise Misuse(f"Retry: attempts={self.attempts!r} is not a whole number")
        if self.attempts < 1:
            raise Misuse(
                f"Retry: attempts={self.attempts} calls nothing",
                hint="attempts counts the first call: 1 tries once, 3 repeats twice",
            )
        check_number("Retry", "delay", self.delay)
        check_number("Retry", "multiplier", self.multiplier, 1.0)
        check_number("Retry", "max_delay", self.max_delay)
        if self.jitter != "decorrelated":
            check_number("Retry", "jitter", self.jitter, 0.0, 1.0)
        check_which("Retry", "on", self.on)
        if self.on_result is not None and not callable(self.on_result):
            raise Misuse(f"Retry: on_result={self.on_result!r} is not a function")
        if not callable(self.retry_after):
            raise Misuse(f"Retry: retry_after={self.retry_after!r} is not a function")
        check_number("Retry", "max_retry_after", self.max_retry_after)
        if self.budget is not None and not isinstance(self.budget, Budget):
            raise Misuse(f"Retry: budget={self.budget!r} is not a Budget")

    def pause(
        self,
        attempt: int,
        random: Callable[[], float] = _random.random,
        *,
        before: float | None = None,
    ) -> float:
        """Seconds to wait after attempt number `attempt` (from 1) has failed.

        `random` draws from 0 to 1; hand one in to make a test certain. `before` is the pause
        before this one, which decorrelated jitter grows from; without it, `delay`.
        """
        if self.jitter == "decorrelated":
            most = max(self.delay, 3.0 * (self.delay if before is None else before))
            return min(self.max_delay, self.delay + (most - self.delay) * random())
        # An exponent far beyond max_delay would overflow.
        exponent = min(attempt - 1, 1000)
        try:
            full = self.delay * self.multiplier**exponent
        except OverflowError:
            full = math.inf
        full = min(full, self.max_delay) if self.delay else 0.0
        return full * (1.0 - self.jitter * random())

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return RetryPart(self, place)


class RetryPart(Part):
    """What the attempts of all calls have in common."""

    def __init__(self, retry: Retry, place: Place) -> None:
        self.retry = retry
        self.place = place
        self.report = place.report
        self.budget = None if retry.budget is None else retry.budget.state(place)

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """A loop: the way back to its head is the exception."""
        trail, pause = code.local("trail"), code.local("pause")
        begin = code.bind("begin", self.begin)
        accepted = ["break"]
        if self.retry.on_result is not None and not code.is_block:
            refuses = code.bind("refuses", self.retry.on_result)
            accepted = [
                f"if not {refuses}(value):",
                "    break",
                f"if {trail} is None:",
                f"    {trail} = {begin}()",
                f"{pause} = {trail}.unwanted(value)",
                f"if {pause} is None:",
                "    break",
            ]
        lines = [
            f"{trail} = None",
            "while True:",
            "    try:",
            *indented(indented(body)),
            "    except Exception as error:",
            f"        if {trail} is None:",
            f"            {trail} = {begin}()",
            f"        {pause} = {trail}.failed(error)",
            f"        if {pause} is None:",
            "            raise",
            "    else:",
            *indented(indented(accepted)),
        ]
        if code.is_block:
            lines.append("    await signal(BREAK)" if code.is_async else "    yield BREAK")
        sleep = "clock.sleep" if code.is_async else "clock.sleep_blocking"
        lines += [f"    if {pause}:", f"        {code.wait}{sleep}({pause})"]
        if self.budget is not None:
            self.budget.begin()
            lines.insert(0, f"{code.bind('deposit', self.budget.deposit)}()")
        return lines

    def begin(self) -> Trail:
        """For a call whose first attempt has failed."""
        return Trail(self)


class Trail:
    """The failed attempts of one call.

    Not as exceptions, which would hold their frames, and those this. What a note will say is put
    into words only if the call fails for good.
    """

    __slots__ = ("_before", "_number", "_part", "_told")

    def __init__(self, part: RetryPart) -> None:
        self._part = part
        self._number = 0
        self._before: float | None = None
        self._told: list[tuple[_Said, float]] = []

    def failed(self, error: Exception) -> float | None:
        """The pause before the next attempt; None if there is none, then `error` has the notes."""
        part = self._part
        retry = part.retry
        number = self._number = self._number + 1
        if not takes(retry.on, error):
            # Raised at once: only what was tried before is worth a note.
            if self._told:
                self._annotate(error, "not tried again")
            return None
        kind = type(error)
        is_plain = kind.__repr__ is BaseException.__repr__
        said: _Said = (kind, error.args) if is_plain else _shown(error)
        pause = self._next(retry.retry_after(error), said)
        if isinstance(pause, str):
            self._annotate(error, f"{_shown(error)}; {pause}")
            part.report("gave_up", number, None, error)
            return None
        part.report("retried", number, pause, error)
        return pause

    def unwanted(self, value: object) -> float | None:
        """The same for a result that `on_result` refuses."""
        self._number += 1
        pause = self._next(None, f"unwanted {type(value).__name__}")
        if isinstance(pause, str):
            self._part.report("gave_up", self._number)
            return None
        self._part.report("retried", self._number, pause)
        return pause

    def _next(self, asked: float | None, said: _Said) -> float | str:
        part = self._part
        retry = part.retry
        if self._number >= retry.attempts:
            return "no attempts left"
        pause = retry.pause(self._number, before=self._before) if retry.delay else 0.0
        if asked is not None:
            if asked > retry.max_retry_after:
                return f"asked to wait {asked:.3g} s, more than {retry.max_retry_after:.3g} s"
            pause = max(pause, asked)
        deadline = current_deadline()
        if deadline != math.inf and clock.now() + pause >= deadline:
            return f"the deadline comes before the end of a pause of {pause:.3g} s"
        if part.budget is not None and not part.budget.withdraw():
            part.report("budget_exhausted", self._number)
            return "the retry budget is used up"
        self._before = pause
        self._told.append((said, pause))
        return pause

    def _annotate(self, error: Exception, last: str) -> None:
        of = self._part.retry.attempts
        notes = [f"{_put(said)}; tried again after {pause:.3g} s" for said, pause in self._told]
        for number, note in enumerate([*notes, last], 1):
            error.add_note(f"policy {self._part.place.policy!r}: attempt {number} of {of}: {note}")


_Said: TypeAlias = str | tuple[type[Exception], tuple[Any, ...]]
"""What a note says of an attempt: the words, or the class and arguments to make them of."""


def _put(said: _Said) -> str:
    if isinstance(said, str):
        return said
    kind, arguments = said
    try:
        # As BaseException.__repr__ does.
        told = repr(arguments[0]) if len(arguments) == 1 else ", ".join(map(repr, arguments))
    except Exception:
        told = "…"
    return _bounded(f"{kind.__name__}({told})")


def _shown(error: Exception) -> str:
    try:
        return _bounded(repr(error))
    except Exception:
        return type(error).__name__


def _bounded(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
