"""The content of a file, unpacked as it is read: plain, gzip, or one member of a zip.

Everything here blocks and belongs to one thread. Memory is bounded by the sizes asked for,
whatever an archive claims to hold.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from penstock.errors import Misuse

from .errors import SourceError

__all__ = ("Content", "open_content")

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_WBITS: Final = 31  # zlib's number for "gzip header and checksum, window of 32 KiB"
_STORED_BLOCK: Final = 64 * 1024
# What zipfile raises for bytes that make no sense: an offset may point before the file, too.
_DAMAGED: Final = (zipfile.BadZipFile, EOFError, zlib.error, OSError, ValueError)


class Content(ABC):
    """Bytes to read, and how far one is: `read_so_far` of `total`, in the same unit."""

    total = 0
    read_so_far = 0

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" only at the end."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_content(path: str, member: str | None) -> Content:
    """Open by the file's first bytes; its name does not matter."""
    raw = _open_regular(path)
    try:
        return _by_magic(path, raw, member)
    except BaseException:
        raw.close()
        raise


def _by_magic(path: str, raw: io.FileIO, member: str | None) -> Content:
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(_ZIP):
        return _ZipMember(path, raw, member)
    if member is not None:
        raise Misuse(
            f"{path}: member={member!r} was asked for, but the file is not a zip",
            hint="leave member out, or check the path",
        )
    return _Gzip(path, raw) if magic.startswith(_GZIP) else _Plain(path, raw)


def _open_regular(path: str) -> io.FileIO:
    try:
        kind = Path(path).stat().st_mode  # before opening: a FIFO without a writer would block
        if stat.S_ISREG(kind):
            return io.FileIO(path)
    except FileNotFoundError as error:
        error.add_note("hint: check the path, and the directory it is relative to")
        raise
    except PermissionError as error:
        error.add_note("hint: give this user the right to read it")
        raise
    if stat.S_ISDIR(kind):
        directory = IsADirectoryError(errno.EISDIR, "is a directory, not a file", path)
        directory.add_note("hint: name one file; iterate over the directory for all of them")
        raise directory
    raise SourceError(
        f"{path}: not a regular file",
        path=path,
        hint="iterate over a pipe or a device through Stream.from_iterable",
    )


class _Plain(Content):
    def __init__(self, path: str, raw: io.FileIO) -> None:
        self._path = path
        self._raw = raw
        self.total = os.fstat(raw.fileno()).st_size

    def read(self, size: int) -> bytes:
        try:
            block = self._raw.read(size) or b""
        except OSError as error:
            raise SourceError(
                f"{self._path}: reading failed at byte {self.read_so_far:,}: {error}",
                path=self._path,
                position=self.read_so_far,
                hint="look at the disk or the mount; dmesg may say more",
            ) from error
        self.read_so_far += len(block)
        return block

    def close(self) -> None:
        self._raw.close()


class _Gzip(Content):
    """All members of a gzip file, one after the other, as `gzip -d` gives them."""

    def __init__(self, path: str, raw: io.FileIO) -> None:
        self._path = path
        self._raw = raw
        self.total = os.fstat(raw.fileno()).st_size
        self._position = 0
        self._stored = b""
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._begun = False

    def read(self, size: int) -> bytes:
        while True:
            if not self._stored:
                self._stored = self._raw.read(_STORED_BLOCK) or b""
                self.read_so_far += len(self._stored)
                if not self._stored:
                    if self._begun:
                        raise self._broken("ends in the middle of its data")
                    return b""
            if not self._begun:
                # Padding with zeros after the last member is legal (tape blocks).
                self._stored = self._stored.lstrip(b"\0") if self._position else self._stored
                if not self._stored:
                    continue
            self._begun = True
            try:
                block = self._member.decompress(self._stored, size)
            except zlib.error as error:
                raise self._broken(f"is damaged ({error})") from error
            self._stored = self._member.unconsumed_tail
            if self._member.eof:
                self._stored = self._member.unused_data
                self._member = zlib.decompressobj(_GZIP_WBITS)
                self._begun = False
            if block:
                self._position += len(block)
                return block

    def _broken(self, what: str) -> SourceError:
        return SourceError(
            f"{self._path}: the gzip file {what}, after {self._position:,} bytes of content",
            path=self._path,
            position=self._position,
            hint="fetch or write the file again; gzip -t checks it",
        )

    def close(self) -> None:
        self._raw.close()


class _ZipMember(Content):
    def __init__(self, path: str, raw: io.FileIO, member: str | None) -> None:
        self._path = path
        self._raw = raw
        try:
            self._archive = zipfile.ZipFile(raw)
            info = self._find(member)
            self._file = self._archive.open(info)
        except (SourceError, Misuse):
            raise  # said already
        except (*_DAMAGED, NotImplementedError, RuntimeError) as error:
            raise self._broken(str(error) or type(error).__name__) from error
        self._name = info.filename
        self.total = info.file_size

    def _find(self, member: str | None) -> zipfile.ZipInfo:
        files = [
            info
            for info in self._archive.infolist()
            if not info.is_dir() and not info.filename.startswith("__MACOSX/")
        ]
        if member is not None:
            for info in self._archive.infolist():
                if info.filename == member and not info.is_dir():
                    return info
            raise Misuse(f"{self._path}: no member {member!r}", hint=f"it has {_names(files)}")
        if len(files) == 1:
            return files[0]
        if not files:
            raise self._broken("it holds no file")
        raise Misuse(
            f"{self._path}: the zip holds {len(files):,} files",
            hint=f"choose one with member=: {_names(files)}",
        )

    def read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except _DAMAGED as error:
            raise self._broken(
                f"{self._name} is cut off or damaged after {self.read_so_far:,} bytes of "
                f"{self.total:,} ({str(error) or type(error).__name__})"
            ) from error
        self.read_so_far += len(block)
        return block

    def _broken(self, what: str) -> SourceError:
        return SourceError(
            f"{self._path}: cannot read the zip: {what}",
            path=self._path,
            position=self.read_so_far,
            hint="fetch or write the file again; unzip -t checks it",
        )

    def close(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()
        self._raw.close()


def _names(files: list[zipfile.ZipInfo]) -> str:
    shown = ", ".join(repr(info.filename) for info in files[:5])
    return shown + (f" and {len(files) - 5:,} more" if len(files) > 5 else "") or "no file"
