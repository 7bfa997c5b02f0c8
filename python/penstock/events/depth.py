"""How many emissions of trio the running code is within; asyncio's are counted by native code."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ("depth",)

depth: ContextVar[int] = ContextVar("penstock_event_depth", default=0)
