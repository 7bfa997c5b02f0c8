"""Which files are open in this process: one writer for each, shared by all rooms that use it.

Two writers on one file would only wait for each other, and two SQLite libraries would lose rows.
A file is known by device and inode, so that links and relative paths lead to the same writer.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock._durable.engines import Address
from penstock._durable.group_commit import GroupCommit
from penstock._durable.writes import Kind, Write
from penstock.errors import EngineError, Misuse

from .failures import explained
from .messages import SqliteMessages
from .outbox import SqliteOutbox
from .sagas import SqliteSagas
from .session import SqliteSession

_ROOMS = {"messages": SqliteMessages, "outbox": SqliteOutbox, "saga": SqliteSagas}
_OLDEST = (3, 35, 0)  # RETURNING


class OpenFile:
    """A file (or a memory) that is open, with the rooms that use it."""

    def __init__(self, key: object, writer: GroupCommit, clock: Callable[[], float] | None) -> None:
        self.key = key
        self.writer = writer
        self.clock = clock
        self.users = 0

    def release(self) -> None:
        """One user less; the last one closes the file. Blocks until what was given is committed."""
        with _opening:
            self.users -= 1
            if self.users:
                return
            if _files.get(self.key) is self:
                del _files[self.key]
            # Under the lock: whoever opens it now must find it closed.
            self.writer.stop()


_opening = threading.RLock()
_files: dict[object, OpenFile] = {}


def _after_fork() -> None:
    # The parent's files are the parent's: their threads are not here.
    _files.clear()
    _opening.release()


os.register_at_fork(
    before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_after_fork
)


def open_store(
    address: Address,
    room: str,
    *,
    create: bool = True,
    clock: Callable[[], float] | None = None,
    connect: Callable[[str, float], sqlite3.Connection] | None = None,
    **options: Any,
) -> Any:
    """The store of `room` at `address`, on the writer that its file has in this process.

    `options` are for the room. Blocks while the file is opened and its tables are made. Raises
    EngineError for a file that cannot be used, or, unless `create`, for one that is not there;
    Misuse for a clock other than that of the users it has.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise EngineError(
            f"this Python's SQLite is {sqlite3.sqlite_version}",
            hint="3.35 is the oldest that will do: use a newer Python build",
        )
    with _opening:
        file = _find(address, create=create, clock=clock, connect=connect)
        file.users += 1
        try:
            if file.clock is not clock:
                raise Misuse(f"{address.url} is open in this process with another clock")
            store = _ROOMS[room](file, **options)
            file.writer.call(Write(_MIGRATE, (room, store.migrations)))
            store.attach()
        except BaseException:
            file.release()
            raise
        return store


def _find(
    address: Address,
    *,
    create: bool,
    clock: Callable[[], float] | None,
    connect: Callable[[str, float], sqlite3.Connection] | None,
) -> OpenFile:
    path = None if address.path is None else Path(os.path.realpath(address.path))
    key = _key(address, path)
    file = _files.get(key)
    if file is not None:
        return file
    if path is not None and not create and not path.exists():
        raise EngineError(f"there is no {path}", hint="look at the path in the URL")
    options: dict[str, Any] = {} if connect is None else {"connect": connect}
    session = SqliteSession(address.url, path, clock=clock, **options)
    writer = GroupCommit(address.url, session)
    writer.start()
    file = OpenFile(_key(address, path), writer, clock)  # it has an inode now
    _files[file.key] = file
    return file


def _key(address: Address, path: Path | None) -> object:
    if path is None:
        return ("memory", address.name) if address.name else object()
    try:
        status = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            return path
        raise explained(_as_sqlite(error), address.url, path) from error
    return status.st_dev, status.st_ino


def _as_sqlite(error: OSError) -> sqlite3.Error:
    made = sqlite3.OperationalError(str(error))
    made.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    return made


def _migrate(session: SqliteSession, _now: float, arguments: Any) -> list[None]:
    for room, migrations in arguments:
        session.migrate(room, migrations)
    return [None] * len(arguments)


_MIGRATE: Kind[Any, None] = Kind("migrate", _migrate, rank=-1)
