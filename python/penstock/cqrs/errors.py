"""What goes wrong between a message and its handler."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import Misuse

__all__ = ("Misfits", "NoHandler")


class NoHandler(Misuse):
    """Nobody handles what was sent; the message names the nearest that somebody does."""

    code = "no-handler"


class Misfits(Misuse):
    """Everything that `validate()` found, one line each; `findings` has them as a tuple."""

    code = "misfits"

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.findings: tuple[str, ...] = ()

    @classmethod
    def of(cls, bus: str, findings: Sequence[str]) -> Misfits:
        """The error for these findings."""
        lines = "".join(f"\n- {each}" for each in findings)
        what = "one thing" if len(findings) == 1 else f"{len(findings)} things"
        error = cls(f"{bus}: {what} cannot work:{lines}", hint="mend each of them; nothing was run")
        error.findings = tuple(findings)
        return error
