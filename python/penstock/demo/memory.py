"""How much memory the run takes: PSS of this process and all it started, from /proc.

PSS (proportional set size) splits shared pages among their users, so that the sum over the
processes is what the machine really gives up; a sum of RSS would count shared memory once per
process. Linux only: elsewhere there is no reading, and none is invented.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ("descendants", "proportional_set_size")

_PROC = Path("/proc")


def proportional_set_size(root: int | None = None) -> int | None:
    """Bytes of PSS, summed over a process and its descendants; None where not measurable.

    `root` is its id; this process by default.

    About 1 ms per process. A process that ends meanwhile counts as nothing.
    """
    total, read = 0, False
    root = os.getpid() if root is None else root
    for pid in (root, *descendants(root)):
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_bytes()
        except OSError:
            continue
        _, found, rest = rollup.partition(b"\nPss:")
        if found:
            total += int(rest.split(None, 1)[0]) * 1024
            read = True
    return total if read else None


def descendants(pid: int) -> Iterator[int]:
    """Ids of the processes that `pid` started, and those that these started, as of now."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_bytes().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)
