"""The moment by which the running call has to be over, whoever set it."""

from __future__ import annotations

import math

from penstock import _clock as clock
from penstock._deadline import deadline_variable
from penstock.tracing import TraceContext

__all__ = ("current_deadline", "remaining")


def current_deadline() -> float:
    """The moment on the clock of `time.monotonic()`; infinity where nothing bounds the call.

    The sooner of what a `Deadline` around the caller allows and of the deadline that came along in
    the trace context, such as that of the call whose work a `WorkerPool` runs.
    """
    own = deadline_variable.get()
    # A virtual clock counts from elsewhere: a real moment means nothing on it.
    carried = TraceContext.current().deadline if clock.virtual is None else None
    if own is None:
        return math.inf if carried is None else carried
    return own if carried is None else min(own, carried)


def remaining() -> float | None:
    """Seconds until the current deadline, negative once it has passed; None where there is none."""
    when = current_deadline()
    return None if when == math.inf else when - clock.now()
