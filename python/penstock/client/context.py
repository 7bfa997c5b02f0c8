"""What is sent beside a request: the trace, the correlation id, and how long the caller waits."""

from __future__ import annotations

import math

from penstock import _clock as clock
from penstock.resilience.limit import current_deadline
from penstock.tracing import TraceContext
from penstock.tracing.arrival import CORRELATION, DEADLINE, MOST

__all__ = ("sent",)


def sent(headers: dict[str, str], bound: float) -> None:
    """Adds to the headers of a request what it takes along; those that are there stay.

    `bound` are the seconds that one attempt may take.
    """
    current = TraceContext.current()
    if current.is_valid:
        for name, value in current.to_headers().items():
            headers.setdefault(name, value)
    if current.correlation_id is not None:
        headers.setdefault(CORRELATION, current.correlation_id)
    deadline = current_deadline()
    if deadline != math.inf:
        bound = min(bound, deadline - clock.now())
    if bound != math.inf:
        headers.setdefault(DEADLINE, str(max(1, int(min(bound, MOST) * 1000.0))))
