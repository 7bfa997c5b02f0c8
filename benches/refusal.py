"""Why a bench does not run, said in one line with the remedy."""

from __future__ import annotations


class Refusal(Exception):
    """The command line prints it as `benches: what` and `hint: remedy`, exit code 2."""

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class WrongAnswer(Exception):
    """A contender did not do the work; whatever time it took means nothing."""
