"""Output files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
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
        self._temporary = ""

    def __enter__(self) -> TextIO:
        handle, self._temporary = tempfile.mkstemp(
            prefix=f".{self._path.name}.", suffix=".part", dir=self._path.parent
        )
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
                os.chmod(self._temporary, 0o666 & ~_umask())
                os.replace(self._temporary, self._path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary)


def check_writable(path: Path, option: str) -> None:
    """Refuse `path` now if a file could not be put there at the end of the run."""
    if path.is_dir():
        raise DemoError(str(path), "is a directory", f"name a file with {option}")
    try:
        handle, probe = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DemoError(
            str(path),
            f"cannot be written: {reason}",
            f"name a file in a writable directory with {option}",
        ) from None
    os.close(handle)
    os.unlink(probe)


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
