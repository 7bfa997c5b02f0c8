"""The deadline of the running call, as it goes from room to room and into worker processes.

`penstock.resilience.Deadline` sets it, and asks `remaining()` of it; a `WorkerPool` hands it on.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context

from . import _clock as clock
from ._native import TraceContext, current_context_bytes

__all__ = ("carried_bytes", "deadline_variable", "unbounded_copy")

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


def unbounded_copy() -> Context:
    """A copy of the caller's context without its deadlines, for work that is not the caller's.

    Where the trace context carries one, the copy has that trace and span without it, and no
    `current_span()`.
    """
    context = copy_context()
    context.run(_unbind)
    return context


def _unbind() -> None:
    deadline_variable.set(None)
    carried = TraceContext.current()
    if carried.deadline is not None:
        carried.replace(deadline=None).activate().__enter__()  # it ends with the copy
