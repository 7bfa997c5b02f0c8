"""`PATH.lock` beside a database: one demo at a time works on it.

The lock is the kernel's (flock), so it goes with its holder, however that ends: whoever takes
over after kill -9 has it at once. The file only says whose it is. The holder takes the file away
when it is done; a waiting file of that name without a holder means nothing.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.demo.failures import DemoError

__all__ = ("Lock",)


class Lock:
    """Holds `database` for this process inside the block.

    Entering raises `DemoError` at once, naming the holder's process id, when another process has
    it. Child processes that go on to another program do not inherit it; those that only fork do.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}.lock")
        self._database = database
        self._fd = -1

    def __enter__(self) -> Self:
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._take(fd)
                if self._is_there(fd):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                    self._fd = fd
                    return self
            finally:
                if self._fd != fd:
                    os.close(fd)

    def _take(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).strip().decode("ascii", "replace")
            raise DemoError(
                str(self._database),
                f"process {holder} works on it" if holder else "another process works on it",
                "wait for it to end, or name another file with --database",
            ) from None

    def _is_there(self, fd: int) -> bool:
        """Whether this is the file of that name, and not one that its holder has taken away."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), self.path.stat())
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        fd, self._fd = self._fd, -1
        # While it is still held: afterwards it may be the next one's.
        self.path.unlink(missing_ok=True)
        os.close(fd)
