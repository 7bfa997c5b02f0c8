"""What a `cancel=` hook is called by."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ("call_off",)

_log = logging.getLogger("penstock.adapters")


def call_off(name: str, cancel: Callable[[Any], object], handle: Any) -> None:
    """Calls the hook with what the operation's start returned; what it raises is logged.

    It runs while a cancellation or an `Expired` is on its way, which must go on.
    """
    try:
        answer = cancel(handle)
        if isinstance(answer, Awaitable):
            if inspect.iscoroutine(answer):
                answer.close()
            raise TypeError("cancel= returned an awaitable, which nobody awaits")
    except Exception:
        _log.exception("%s: cancel= failed", name)
