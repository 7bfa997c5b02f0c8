"""Events of the past, to a handler of today."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .history import History
from .names import shown
from .signature import check_handler
from .subscription import hears

if TYPE_CHECKING:
    from .bus import EventBus

__all__ = ("replay",)


async def replay(
    bus: EventBus,
    history: History,
    to: Callable[..., object],
    what: str | type | None,
    since: int,
) -> int:
    """See `EventBus.replay`."""
    takes = check_handler(to, "" if what is None else what, repr(bus))
    if what is not None:
        bus._registry.check_what(what)
    last = since
    for past in history:
        if past.number <= since:
            continue
        if what is None or hears(what, past.event):
            answer = to(*(past.data, shown(past.event))[:takes])
            if hasattr(answer, "__await__"):
                await answer
        last = past.number
    return last
