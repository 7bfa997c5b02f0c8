"""What a handler raises to decide itself what becomes of its message."""

from __future__ import annotations

import math

from penstock.errors import Misuse

__all__ = ("Reject", "RetryLater")


class Reject(Exception):
    """Raised by a handler: the message goes to the dead letters at once, with this reason.

    For what no further attempt can mend: a request that is invalid, an account that is gone.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(Exception):
    """Raised by a handler: hand me this message again in `delay` seconds.

    Not a failure: the attempt is not counted, so a message may wait for its moment as often as it
    takes. Raises Misuse for a delay that is none.
    """

    def __init__(self, delay: float) -> None:
        if not 0 <= delay < math.inf:
            raise Misuse(f"RetryLater: delay={delay!r} is no time to wait", hint="give seconds")
        super().__init__(delay)
        self.delay = delay
