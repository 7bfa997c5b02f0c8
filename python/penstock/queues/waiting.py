"""What a queue operation does when it would have to wait: enlist, look again, sleep, try.

Guarantee: the item is popped by the task that returns it, in the same step; whoever leaves early
passes on a wake that it has not used.
"""

from __future__ import annotations

import time
from typing import Any

from penstock._loops import current_hub
from penstock._native import NOT_NOW, QueueOperation
from penstock.errors import Misuse

__all__ = ("raise_thrown", "wait")


async def wait(operation: QueueOperation[Any], timeout: float | None, due: bool) -> Any:
    """Finishes `operation`; with `due`, the loop has its turn before anything is taken."""
    try:
        hub = current_hub()
    except Misuse as misuse:
        raise Misuse(f"{operation!r}: {misuse}", hint=misuse.hint) from None
    deadline = None if timeout is None else time.monotonic() + timeout
    if due:
        await hub.checkpoint()
        operation.renew()
        result = operation.attempt()
        if result is not NOT_NOW:
            return result
    left = timeout
    try:
        while left is None or left > 0:
            place = hub.place()
            result = operation.enlist(place)
            if result is NOT_NOW:
                await place.wait(left)
                operation.renew()
                result = operation.attempt()
            if result is not NOT_NOW:
                return result
            if deadline is not None:
                left = deadline - time.monotonic()
    finally:
        operation.leave()
    raise operation.expired()


def raise_thrown(kind: Any, value: Any = None, traceback: Any = None) -> None:
    """Raises what was thrown into an operation that had not begun."""
    error = kind if isinstance(kind, BaseException) else value
    if not isinstance(error, BaseException):
        error = kind() if error is None else kind(error)
    raise error if traceback is None else error.with_traceback(traceback)
