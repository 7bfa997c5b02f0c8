"""The deadline of the running call, as it goes from room to room and into worker processes.

`penstock.resilience.Deadline` sets it, and asks `remaining()` of it; a `WorkerPool` hands it on.
"""

from __future__ import annotations

from contextvars import ContextVar

from . import _clock as clock
from ._native import TraceContext, current_context_bytes

__all__ = ("carried_bytes", "deadline_variable")

# Apart from the trace context's own: what is current there may be a span, which has to stay it.
deadline_variable: ContextVar[float | None] = ContextVar("penstock_deadline", default=None)
"""A moment of the clock in force; None where no `Deadline` bounds the call."""


def carried_bytes() -> bytes | None:
    """What is to go with work to another process of this machine; None where there is nothing.

    The current trace context, with the sooner of its deadline and the call's own. A virtual
    clock's moments stay here: they mean nothing elsewhere.
    """
    own = deadline_variable.get()
    if own is None or clock.virtual is not None:
        return current_context_bytes()
    context = TraceContext.current()
    carried = context.deadline
    if carried is None or own < carried:
        context = context.replace(deadline=own)
    return context.to_bytes()
