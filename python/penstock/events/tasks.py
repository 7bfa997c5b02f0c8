"""asyncio's tasks, as native code makes them and makes them current; given to it when imported.

An idle carrier is in no list of tasks: whoever waits for all of them, or cancels them at the end,
need not know of it, and a loop that is closed while it is idle has lost nothing.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

from penstock._native import Carrier, running_loop_reader, set_task_hooks

__all__ = ("install",)


class HandlerTask(asyncio.Task[Any]):
    """The task of a carrier, which hears of a cancellation also before its first turn."""

    def cancel(self, msg: Any | None = None) -> bool:
        """See `asyncio.Task`."""
        carrier: Any = self.get_coro()
        if carrier is not None and not self.done():
            carrier.note_cancel()
        return super().cancel(msg)


def _make(carrier: Carrier, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
    # No task factory: it may make something that begins at once.
    coroutine: Any = carrier
    task = HandlerTask(coroutine, loop=loop, name="penstock events", context=Context())
    asyncio._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


def _adopt(task: asyncio.Task[Any], label: str) -> None:
    task.set_name(f"handler {label}")
    task._log_destroy_pending = True  # type: ignore[attr-defined]
    asyncio._register_task(task)
    task.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Task[Any]) -> None:
    # An outcome tells of it: nobody need look at the task.
    if not task.cancelled():
        task.exception()


def _swap(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> object:
    # From 3.12 on.
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    if swap is not None:
        before: object = swap(loop, task)
        return before
    current = asyncio.current_task(loop)
    if current is not None:
        asyncio._leave_task(loop, current)
    if task is not None:
        asyncio._enter_task(loop, task)
    return current


def _known_dict() -> dict[Any, Any] | None:
    """Where asyncio keeps the current task of each loop, if it does so in a dict that is seen."""
    kept = getattr(asyncio.tasks, "_current_tasks", None)
    if type(kept) is not dict:
        return None
    loop: Any = object()
    task: Any = object()
    try:
        asyncio._enter_task(loop, task)
    except Exception:  # it wants to know more of them, and so is not as it was
        return None
    is_it = kept.get(loop) is task
    asyncio._leave_task(loop, task)
    return kept if is_it and loop not in kept else None


def install() -> None:
    """Tells native code, once."""
    # Its emits ask which loop runs; where asyncio keeps that is found out here.
    running_loop_reader(asyncio._get_running_loop, asyncio._set_running_loop)
    set_task_hooks(make=_make, adopt=_adopt, swap=_swap, tasks=_known_dict())


install()
