"""Every error penstock raises on purpose, in one taxonomy.

Each class has a stable `code`, says in its message which object it concerns and with which
numbers, and carries a `hint` with the remedy. Families also inherit what readers already
catch: `TimeoutError`, `queue.Full`, `ValueError`. All of them pickle.
"""

from __future__ import annotations

import queue as _queue
from typing import ClassVar

__all__ = (
    "Closed",
    "Conflict",
    "Empty",
    "EngineError",
    "Expired",
    "Full",
    "Lost",
    "Misuse",
    "PenstockError",
    "Rejected",
)


class PenstockError(Exception):
    """The root: `except PenstockError` catches whatever penstock raises on purpose."""

    code: ClassVar[str] = "penstock"
    hint: str | None

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[object, ...]:
        # The default would rebuild from `args` alone; hint, notes and fields ride in the state.
        return (_rebuild, (type(self), self.args), self.__dict__)


def _rebuild(kind: type[PenstockError], args: tuple[object, ...]) -> PenstockError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class Closed(PenstockError):
    """The object was closed or shut down before the call."""

    code = "closed"


class Full(PenstockError, _queue.Full):
    """There is no room; also a `queue.Full`."""

    code = "full"


class Empty(PenstockError, _queue.Empty):
    """There is nothing to take; also a `queue.Empty`."""

    code = "empty"


class Expired(PenstockError, TimeoutError):
    """A deadline passed; also a `TimeoutError`."""

    code = "expired"


class Rejected(PenstockError):
    """A limit, a breaker or a bulkhead refused the call before it started."""

    code = "rejected"


class Lost(PenstockError):
    """Something that was under way died with its process."""

    code = "lost"


class Conflict(PenstockError):
    """The same key is already in use with other content, or a fence is stale."""

    code = "conflict"


class Misuse(PenstockError, ValueError):
    """An argument or a call that cannot work, refused before anything changed; a `ValueError`."""

    code = "misuse"


class EngineError(PenstockError):
    """A database, broker or backend below failed; the cause is chained."""

    code = "engine"
