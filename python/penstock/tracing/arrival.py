"""What came along with a request: the trace, the correlation id, and how long the caller waits.

The remaining time travels as a number of milliseconds, not as a moment: clocks of two machines
differ, and what the way takes is the caller's own to allow for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from penstock._native import Activation, TraceContext

__all__ = ("CORRELATION", "DEADLINE", "MOST", "REQUEST_ID", "Received", "received")

DEADLINE = "X-Request-Deadline-Ms"
CORRELATION = "X-Correlation-ID"
REQUEST_ID = "X-Request-ID"
"""Is taken for the correlation id where the other one is not sent."""
_DEADLINE, _CORRELATION, _REQUEST_ID = (
    header.lower() for header in (DEADLINE, CORRELATION, REQUEST_ID)
)
_LENGTHS = frozenset(map(len, (DEADLINE, CORRELATION, REQUEST_ID)))
"""Most of a request's headers are told apart by this, without looking at them."""
MOST = 3600.0
"""Seconds; nobody is told to wait longer, nor believed."""


def received(headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Received:
    """Takes over what came along with a request; enter it by `with`.

    The trace goes on, the correlation id is current, and what the caller's time is too short for
    is not started: policies and clients inside share the deadline. Headers as a mapping, or as
    pairs of str or bytes, such as those of ASGI. What is malformed, or longer than an hour, is not
    believed.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    context = TraceContext.from_headers(pairs)
    known = {_text(name).lower(): _text(value) for name, value in pairs if len(name) in _LENGTHS}
    changes: dict[str, Any] = {}
    wait = known.get(_DEADLINE, "")
    if wait.isascii() and wait.isdigit() and len(wait) < 10 and int(wait) <= MOST * 1000.0:
        changes["deadline"] = time.monotonic() + int(wait) / 1000.0
    for header in (_CORRELATION, _REQUEST_ID):
        correlation = known.get(header, "")
        if 0 < len(correlation) <= 128 and correlation.isascii() and correlation.isprintable():
            if correlation != context.correlation_id:
                changes["correlation_id"] = correlation
            break
    else:
        if context.correlation_id is not None:
            changes["correlation_id"] = None  # longer ones are read, too
    return Received(context.replace(**changes) if changes else context)


class Received:
    """A context that came with a request; made by `received`, entered with `with`."""

    def __init__(self, context: TraceContext) -> None:
        self.context = context
        self._activation: Activation[TraceContext] | None = None

    def __enter__(self) -> TraceContext:
        self._activation = self.context.activate()
        return self._activation.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._activation is not None
        self._activation.__exit__(kind, error, trace)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
