"""The refund desk's ledger: a file of JSON lines that only grows, and what it says.

What `append` has returned for is on the disk. A process that dies in the middle of a write leaves
a torn last line: nobody was told of it, so it is cut off when the file is opened again. A write
that fails, on a full disk say, is taken back whole, and the next one may succeed.

Standard library only; one process and one thread at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

__all__ = ("Entry", "Ledger", "LedgerError")

_LOCK_PATIENCE = 5.0
_KINDS = ("refund", "reversal")


class LedgerError(Exception):
    """The file cannot be worked with; `hint` says what to do about it."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why
        self.hint = hint


class Entry(NamedTuple):
    """One line: an effect, or that it was asked for once more."""

    key: str
    """Idempotency key: one effect for each."""
    kind: str
    """`refund` or `reversal`."""
    case: str
    """Key of the cancelled flight."""
    cents: int
    repeat: bool = False

    def line(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(self._asdict(), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Raises ValueError for anything but a line of a ledger."""
        entry = cls(**_object(json.loads(line)))
        texts = entry.key, entry.kind, entry.case
        if (
            not all(isinstance(text, str) for text in texts)
            or entry.kind not in _KINDS
            or type(entry.cents) is not int
            or entry.cents <= 0
            or type(entry.repeat) is not bool
        ):
            raise ValueError(f"{line!r} is no entry")
        return entry


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(Entry._fields):
        raise ValueError(f"{value!r} is no entry")
    return value


class Ledger:
    """An open ledger. `entries` holds each effect by its key; memory grows with them, not repeats.

    Opening raises `LedgerError` for a file that is no ledger or that another desk has open, and
    OSError. `cut` is the number of bytes that were torn off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.cut = 0
        self._is_whole = False
        """Whether the file ends with the last entry that counts."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            self._size = self._read()
            self._repair()
            _sync_name(path)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries and wait for the disk; blocks.

        Raises OSError when that failed. Then nothing of them is kept.
        """
        if not self._is_whole:
            self._repair()
        lines = b"".join(entry.line() for entry in entries)
        self._is_whole = False
        try:
            written = 0
            while written < len(lines):
                written += os.pwrite(self._fd, lines[written:], self._size + written)
            os.fdatasync(self._fd)
        except OSError:
            self._repair()
            raise
        self._is_whole = True
        self._size += len(lines)
        for entry in entries:
            self.entries.setdefault(entry.key, entry)

    def _repair(self) -> None:
        """Cut off whatever stands behind the last entry that counts."""
        self._is_whole = False
        os.ftruncate(self._fd, self._size)
        os.fdatasync(self._fd)
        self._is_whole = True

    def _lock(self) -> None:
        # The desk of a run that was killed has noticed, and needs a moment to end.
        end = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise LedgerError(
                        self.path, "another refund desk has it open", "end that one first"
                    ) from None
                time.sleep(0.02)
            else:
                return

    def _read(self) -> int:
        """Take in all whole lines and return how many bytes they are."""
        size = 0
        with open(self._fd, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self.cut = len(line)
                    break
                try:
                    entry = Entry.parse(line)
                except ValueError:
                    raise LedgerError(
                        self.path,
                        f"line {number} is no line of a refund ledger",
                        "move the file away, together with its database",
                    ) from None
                self.entries.setdefault(entry.key, entry)
                size += len(line)
        return size


def _sync_name(path: Path) -> None:
    """Have the disk know that there is such a file."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
