"""How a saga ends badly, and what a step raises to say so."""

from __future__ import annotations

from penstock.errors import Expired, PenstockError

__all__ = ("Abort", "SagaCompensated", "SagaParked", "StepTimeout")


class Abort(Exception):
    """Raised by a step: no further attempt can mend this, compensate what was done.

    For what is decided and not merely failed: no seat is left, the card was declined. The step
    itself has had no effect then, so its own compensation does not run (unless an attempt before
    ended in the dark: by its timeout, or with its process). Raised by a compensation it parks the
    saga at once.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StepTimeout(Expired):
    """An attempt of a step took longer than its `timeout`; nobody knows what it did."""

    code = "saga-step-timeout"


class SagaCompensated(PenstockError):
    """A step failed for good, and what had been done was compensated."""

    code = "saga-compensated"


class SagaParked(PenstockError):
    """A saga can go neither forward nor back by itself: somebody has to look at it."""

    code = "saga-parked"
