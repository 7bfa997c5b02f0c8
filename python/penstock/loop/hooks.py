"""Where the stamps go: into asyncio's selector, or into trio's instruments.

uvloop has no such place; `sampling` looks at it from outside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from penstock._native import LoopWatch, WatchedSelector
from penstock.errors import Misuse

__all__ = ("asyncio_loop", "hook_asyncio", "hook_trio", "task_name")


def asyncio_loop() -> Any:
    """The asyncio loop of the caller; None where trio runs it. Raises Misuse without any."""
    # Half imported by another thread, it runs nobody yet.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        return None
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001
    if loop is None:
        raise Misuse("no event loop runs here", hint="use the monitor on the loop's thread")
    return loop


def hook_trio(watch: LoopWatch) -> Callable[[], None]:
    """Stamp the turns of the current trio run; returns what undoes it."""
    trio = sys.modules["trio"]
    watch.after_io_wait()
    trio.lowlevel.add_instrument(watch)

    def unhook() -> None:
        trio.lowlevel.remove_instrument(watch)
        watch.before_io_wait()

    return unhook


def hook_asyncio(loop: Any, watch: LoopWatch) -> Callable[[], None] | None:
    """Stamp the turns of a selector loop; None for another kind, which has to be sampled."""
    selector = getattr(loop, "_selector", None)
    if selector is None or not hasattr(selector, "select"):
        return None
    watched = WatchedSelector(selector, watch)
    watch.after_io_wait()
    loop._selector = watched  # noqa: SLF001

    def unhook() -> None:
        # Another monitor may have come above: then ours stays below it, and counts for nobody.
        if loop._selector is watched:  # noqa: SLF001
            loop._selector = selector  # noqa: SLF001
        watch.before_io_wait()

    return unhook


def task_name(loop: Any) -> str | None:
    """The name of the task that an asyncio loop runs, seen from another thread."""
    if loop is None:
        return None
    try:
        task = sys.modules["asyncio"].current_task(loop)
    except RuntimeError:  # it changes while we look
        return None
    return None if task is None else str(task.get_name())
