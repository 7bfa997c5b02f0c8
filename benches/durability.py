"""How durable a contender's own connection is, as SQLite says: only the like is compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benches.refusal import WrongAnswer

if TYPE_CHECKING:
    from penstock._durable.group_commit import GroupCommit

WAL_FULL = "WAL, synchronous=FULL"
JOURNAL_FULL = "rollback journal, synchronous=FULL"

_MODES = {"wal": "WAL", "delete": "rollback journal"}
_LEVELS = ("OFF", "NORMAL", "FULL", "EXTRA")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk of the working one: /tmp may be memory, where an fsync is nothing."""
    with TemporaryDirectory(prefix=".penstock-bench-", dir=Path.cwd()) as name:
        yield Path(name)


def level(execute: Callable[[str], Any]) -> str:
    """What the connection that commits says of itself: the level is its own, not the file's."""
    (mode,) = execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = execute("PRAGMA synchronous").fetchone()
    return f"{_MODES.get(mode, mode)}, synchronous={_LEVELS[synchronous]}"


async def writers_level(writer: GroupCommit) -> str:
    """The same of a store of ours, asked on the thread that owns the connection."""
    from penstock._durable.writes import Kind, Write

    def ask(session: Any, _now: float, arguments: Sequence[None]) -> list[str]:
        return [level(session.connection.execute) for _ in arguments]

    return await writer.run(Write(Kind("read durability", ask), None))


def require_level(label: str, found: str) -> None:
    """Refuse to time a contender that is not what its label says."""
    if found != label:
        raise WrongAnswer(f"a contender labelled {label!r} works with {found!r}")


def counted(path: Path, statement: str) -> int:
    """A number read from the file by a connection of its own, which sees what is committed."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(statement).fetchone()[0])
    finally:
        connection.close()
