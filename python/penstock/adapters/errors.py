"""What goes wrong between two styles of calling."""

from __future__ import annotations

from penstock.errors import Lost, PenstockError

__all__ = ("CallbackError", "CallbackLost", "CallbackWarning", "Untranslated")


class CallbackWarning(RuntimeWarning):
    """A callback was called again, or its function raised after it had been called."""


class CallbackError(PenstockError):
    """A callback was given an error that is no exception; `reason` is what it was given."""

    code = "callback-error"
    reason: object = None


class CallbackLost(Lost):
    """Nobody holds the callback any more, and it has not been called: it never will be."""

    code = "callback-lost"


class Untranslated(PenstockError):
    """The old system answered or raised what an adapter has no translation for; see the cause."""

    code = "untranslated"
