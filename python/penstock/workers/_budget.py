"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_LEAST = 64 << 20
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def default_bytes() -> int:
    """Half of the machine's memory, or of the control group's if that is less; at least 64 MiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        try:
            memory = min(memory, int(path.read_text()))
        except (OSError, ValueError):
            continue  # not this version of control groups, or "max"
    return max(_LEAST, memory // 2)
