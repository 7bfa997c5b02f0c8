"""Whose cancellation it is: ours to pass on, or one that user code brought upon itself."""

from __future__ import annotations

import math
import sys
from typing import Any

import anyio

__all__ = ("is_cancelled_from_outside",)


def is_cancelled_from_outside() -> bool:
    """Whether the running task is being cancelled: by a scope around it, or itself.

    False where user code awaited something that others had cancelled: that ends the await, and is
    no reason for the task to end.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 (trio runs here)
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
