"""What a process can leave behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.workers.steps import PATIENCE


def children() -> set[int]:
    """Processes whose parent is this one."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def threads() -> dict[str, set[str]]:
    """Those that Python knows, and those that the kernel does."""
    return {
        "threads": {thread.name for thread in threading.enumerate()},
        "native threads": set(os.listdir("/proc/self/task")),
    }


def threads_on_their_way(before: dict[str, set[str]]) -> None:
    """Let threads end that have been told to: a thread is joined before the kernel has ended it,
    and those of an event loop's thread pool are joined by nobody.
    """
    end = time.monotonic() + PATIENCE
    while any(now - before[kind] for kind, now in threads().items()) and time.monotonic() < end:
        os.sched_yield()


def traces() -> dict[str, set[str]]:
    """What a process can leave behind: descriptors, threads, children, shared memory."""
    gc.collect()
    descriptors = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            descriptors.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {
        # The one that listed the folder is gone.
        "descriptors": {d for d in descriptors if "/proc/" not in d},
        **threads(),
        "children": set(map(str, children())),
        # Those of other programs come and go; `multiprocessing` would show by its tracker, a child.
        "names": {name for name in os.listdir("/dev/shm") if "penstock" in name},
        "mappings": {line for line in maps if "penstock-" in line},
    }


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    before = traces()
    yield
    gc.collect()
    threads_on_their_way(before)
    after = traces()
    left = {kind: after[kind] - before[kind] for kind in before}
    assert not any(left.values()), left
