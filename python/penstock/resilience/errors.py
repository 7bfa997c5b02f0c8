"""What a policy raises by itself; everything else is the call's own error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from penstock.errors import Expired, Rejected

__all__ = (
    "AttemptTimeout",
    "BulkheadFull",
    "CircuitOpen",
    "DeadlineExceeded",
    "LimitExceeded",
    "PolicyWarning",
    "RateLimited",
    "TooManyAbandoned",
)


class PolicyWarning(UserWarning):
    """An order of strategies that works, and rarely does what is meant."""


class DeadlineExceeded(Expired):
    """The total time of a call is over; also a `TimeoutError`."""

    code = "deadline-exceeded"


class AttemptTimeout(Expired):
    """One attempt took longer than its `Timeout`; also a `TimeoutError`."""

    code = "attempt-timeout"


class _Refused(Rejected):
    # Raised where a call should cost next to nothing, so the sentence is made when it is read and
    # the hint belongs to the class.
    hint: str | None = None
    _sentence: ClassVar[str] = "refused"

    if TYPE_CHECKING:

        def __init__(
            self, policy: str = "", key: str = "", retry_after: float | None = None, /
        ) -> None: ...

    else:
        # The interpreter's own keeps the arguments as they are, in a third of the time.
        __init__ = Exception.__init__

    @property
    def policy(self) -> str:
        """The name of the policy that refused."""
        return self.args[0] if self.args else ""

    @property
    def key(self) -> str:
        """Which of the policy's keys; empty without `keyed`."""
        return self.args[1] if len(self.args) > 1 else ""

    @property
    def retry_after(self) -> float | None:
        """Seconds after which another call may pass; None if nobody can say."""
        return self.args[2] if len(self.args) > 2 else None

    def __str__(self) -> str:
        of = f"policy {self.policy!r}" + (f" for {self.key!r}" if self.key else "")
        after = self.retry_after
        later = "" if after is None else f"; may pass in {after:.3g} s"
        return f"{of}: {self._sentence}{later}"


class CircuitOpen(_Refused):
    """The breaker is open, or its probes are out: the call was not made."""

    code = "circuit-open"
    hint = "the other side has failed repeatedly; answer without it, or come back later"
    _sentence = "the circuit is open"


class BulkheadFull(_Refused):
    """All places of the bulkhead and of its queue are taken: the call was not made."""

    code = "bulkhead-full"
    hint = "raise max_concurrent or max_waiting, or shed load upstream"
    _sentence = "the bulkhead is full"


class RateLimited(_Refused):
    """The rate limit is used up: the call was not made."""

    code = "rate-limited"
    hint = "come back after retry_after, or allow a wait with max_wait"
    _sentence = "the rate limit is used up"


class LimitExceeded(_Refused):
    """The adaptive limit has no place: the call was not made."""

    code = "limit-exceeded"
    hint = "the other side is slower than it was; shed load"
    _sentence = "the concurrency limit is reached"


class TooManyAbandoned(_Refused):
    """So many blocking attempts outlived their timeout that no thread is given to another."""

    code = "too-many-abandoned"
    hint = "give the client below a timeout of its own, so that its threads end"
    _sentence = "too many timed-out attempts still hold their threads"
