"""Whose cancellation it is: that of the task a callback runs in, or one it brought upon itself."""

from __future__ import annotations

import math
import sys
from typing import Any

import anyio


def is_cancelled_from_outside() -> bool:
    """Whether the current task itself is cancelled, and not only something that it awaited."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 (trio runs here)
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
