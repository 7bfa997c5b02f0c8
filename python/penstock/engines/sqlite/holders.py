"""Who holds the write lock of a database file, as far as the kernel tells."""

from __future__ import annotations

from pathlib import Path

_PENDING = 0x40000000
_WAL_WRITE = 120  # the byte of the -shm file that a writer in WAL mode locks


def holder_of_write_lock(path: Path) -> int | None:
    """Its pid; None if nobody holds it, or the kernel does not say."""
    wanted: dict[int, tuple[int, int]] = {}
    for file, first, last in (
        (Path(f"{path}-shm"), _WAL_WRITE, _WAL_WRITE),
        (path, _PENDING, _PENDING + 1),
    ):
        try:
            wanted[file.stat().st_ino] = (first, last)
        except OSError:
            continue
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 1234 08:01:5678 120 120
        words = line.split()
        if len(words) != 8 or words[1] != "POSIX" or words[3] != "WRITE":
            continue
        inode = int(words[5].rpartition(":")[2])
        if inode not in wanted:
            continue
        first, last = wanted[inode]
        end = float("inf") if words[7] == "EOF" else int(words[7])
        if int(words[6]) <= last and first <= end and int(words[4]) > 0:
            return int(words[4])
    return None
