"""Threads for plain handlers: 40 for each depth of handlers that emit and wait.

A handler in a thread may emit by `bus.sync` and wait for handlers that need threads in turn. Out of
one pool they would wait for each other for ever, as soon as the outer ones have all threads.
"""

from __future__ import annotations

from contextvars import ContextVar

import anyio
from anyio.lowlevel import RunVar

from penstock.errors import Misuse

__all__ = ("thread_limiter",)

_THREADS = 40

_depth: ContextVar[int] = ContextVar("penstock_event_threads", default=0)
_limiters: RunVar[dict[int, anyio.CapacityLimiter]] = RunVar("penstock event threads")


def thread_limiter(whose: str, most: int) -> anyio.CapacityLimiter:
    """The limiter of the running loop for a handler's thread, from within the handler's context.

    Raises Misuse where handlers in threads emit in a circle.
    """
    depth = _depth.get()
    if depth >= most:
        raise Misuse(
            f"{whose} is in a circle of handlers in threads that emit, {most} deep",
            hint="let one of them not emit what leads back to it; max_depth= allows more",
        )
    _depth.set(depth + 1)
    limiters = _limiters.get(None)
    if limiters is None:
        limiters = {}
        _limiters.set(limiters)
    if depth not in limiters:
        limiters[depth] = anyio.CapacityLimiter(_THREADS)
    return limiters[depth]
