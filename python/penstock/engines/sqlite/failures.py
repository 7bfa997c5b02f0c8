"""What goes wrong with a database file, each with its remedy; all are EngineErrors."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from penstock._durable.errors import OutcomeUnknown
from penstock.errors import EngineError, Misuse

from .holders import holder_of_write_lock

__all__ = (
    "DatabaseDamaged",
    "DatabaseFull",
    "DatabaseLocked",
    "DatabaseReadOnly",
    "NotADatabase",
    "OutcomeUnknown",
    "SchemaTooNew",
    "explained",
)

_BAD_VALUES = (sqlite3.InterfaceError, sqlite3.ProgrammingError)


class DatabaseLocked(EngineError):
    """Somebody kept the write lock for longer than we wait."""

    code = "engine-locked"


class DatabaseFull(EngineError):
    """The disk, or what the database may take of it, is full. Nothing of the write remains."""

    code = "engine-full"


class DatabaseReadOnly(EngineError):
    """The file, its folder or its file system does not let us write."""

    code = "engine-read-only"


class NotADatabase(EngineError):
    """The file is something else."""

    code = "engine-not-a-database"


class DatabaseDamaged(EngineError):
    """The file's content or its medium is broken."""

    code = "engine-damaged"


class SchemaTooNew(EngineError):
    """The tables were made by a newer version of penstock."""

    code = "engine-schema-too-new"


def explained(error: BaseException, name: str, path: Path | None) -> BaseException:
    """The error to raise for one of SQLite's; anything else comes back as it is.

    A new object each time: it may go to several callers.
    """
    if not isinstance(error, sqlite3.Error):
        return error
    made = _explained(error, name, path)
    made.__cause__ = error
    return made


def _explained(error: sqlite3.Error, name: str, path: Path | None) -> BaseException:
    # The low byte is the primary code; the rest says more of it.
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    text = str(error)
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return _locked(name, path)
    if primary == sqlite3.SQLITE_FULL:
        return DatabaseFull(
            f"store {name}: {text}; nothing of this write was kept",
            hint="make room on its disk; what was committed before is safe",
        )
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return DatabaseReadOnly(
            f"store {name}: {text}",
            hint="let this user write the file and its folder, where -wal and -shm appear",
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(name, path, text)
    if primary == sqlite3.SQLITE_NOTADB:
        return NotADatabase(
            f"store {name} is not an SQLite database ({text})",
            hint="give another path; the file was left as it is",
        )
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR}:
        return DatabaseDamaged(
            f"store {name}: {text}",
            hint="look at the kernel's log; `sqlite3 FILE 'PRAGMA integrity_check'` says what "
            "is left, `.recover` saves it",
        )
    if isinstance(error, _BAD_VALUES):
        return Misuse(f"store {name}: {text}")
    return EngineError(f"store {name}: {text}")


def _locked(name: str, path: Path | None) -> BaseException:
    pid = None if path is None else holder_of_write_lock(path)
    if pid == os.getpid():
        return Misuse(
            f"store {name}: a connection of this process held a write transaction on the file "
            "for as long as we wait for it",
            hint="commit a transaction of your own before you wait for the store: as long as it "
            "is open, the store cannot write, and each would wait for the other",
        )
    who = "another process" if pid is None else f"process {pid}"
    return DatabaseLocked(
        f"store {name}: {who} kept it locked for longer than we wait",
        hint="end its transaction; let it use short ones, with WAL",
    )


def _cannot_open(name: str, path: Path | None, text: str) -> EngineError:
    if path is not None and path.is_dir():
        return NotADatabase(f"store {name} is a folder", hint="name a file in it")
    if path is not None and not path.parent.is_dir():
        return EngineError(
            f"store {name}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}"
        )
    return DatabaseReadOnly(
        f"store {name}: {text}",
        hint="let this user write the file and its folder, where -wal and -shm appear",
    )
