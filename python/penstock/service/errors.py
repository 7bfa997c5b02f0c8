"""What a service ends with that did not end by itself."""

from __future__ import annotations

from penstock.errors import PenstockError

__all__ = ("PartFailed",)


class PartFailed(PenstockError):
    """A part did not start, failed while it ran, or could not be drained; its error is the cause.

    The other parts have been drained and stopped by the time this is raised.
    """

    code = "part-failed"

    part: str
    """The part's name."""

    def __init__(self, message: str = "", *, hint: str | None = None, part: str = "") -> None:
        super().__init__(message, hint=hint)
        self.part = part
