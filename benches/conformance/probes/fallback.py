"""Of fallbacks."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter
from ..probe import Seen, fails, outcome, passes, probe, shown, start, turns


@probe("fallback")
async def a_cancellation_is_not_answered(adapter: Adapter) -> Seen:
    """A cancelled call ends cancelled even where the filter takes all, or that is refused."""
    try:
        answering = adapter.fallback("fallback", widest=True)
    except (TypeError, ValueError):
        return passes("refused")

    async def work() -> None:
        await asyncio.Event().wait()

    task = start(answering(work))
    await turns(10)
    task.cancel()
    result = await outcome(task)
    return passes() if result == "cancelled" else fails(f"answers: {shown(result)}")
