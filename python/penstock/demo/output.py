"""Output files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TextIO

from .failures import DemoError

__all__ = ("Output", "check_writable")


class Output:
    """A text file that takes its place at the end of the block, unless the block failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO
        self._temporary: Path

    def __enter__(self) -> TextIO:
        handle, self._temporary = _temporary(self._path)
        self._file = os.fdopen(handle, "w", encoding="utf-8", newline="")
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._temporary.chmod(0o666 & ~_umask())
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


def check_writable(path: Path, option: str, *others: Path) -> None:
    """Refuse `path` now if a file could not be put there at the end of the run.

    Nor may it be one of `others`, or something that is no file: /dev/null would be replaced.
    """
    hint = f"name another file with {option}"
    if path.is_dir():
        raise DemoError(str(path), "is a directory", f"name a file with {option}")
    if path.exists() and not path.is_file():
        raise DemoError(str(path), "is not a regular file", hint)
    if any(path.resolve() == other.resolve() for other in others):
        raise DemoError(str(path), f"is used already, and {option} would replace it", hint)
    try:
        handle, probe = _temporary(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DemoError(
            str(path),
            f"cannot be written: {reason}",
            f"name a file in a writable directory with {option}",
        ) from None
    os.close(handle)
    probe.unlink()


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, so that renaming it never crosses a file system."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    return handle, Path(name)


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
