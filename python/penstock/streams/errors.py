"""What a stream raises by itself, and the note that says where another's error came from."""

from __future__ import annotations

from penstock.errors import PenstockError

__all__ = ("LineError", "SourceError")


class SourceError(PenstockError, OSError):
    """A source could not be read to its end: a broken archive, a failing disk; also an `OSError`.

    `path` names the file and `position` the byte of its content at which reading stopped.
    """

    code = "source"

    def __init__(
        self, message: str = "", *, path: str = "", position: int = 0, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.position = position


class LineError(PenstockError, ValueError):
    """A line cannot be decoded or is longer than allowed; also a `ValueError`.

    `line` is its number, counted from 1. The `UnicodeDecodeError`, if there is one, is chained.
    """

    code = "line"

    def __init__(self, message: str = "", *, line: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


def locate(error: BaseException, stage: str, position: int | None = None) -> None:
    """Add the place to an error that is not ours, so that its type can stay what it is."""
    where = stage if position is None else f"{stage}, item {position:,}"
    error.add_note(f"penstock: raised in {where}")
