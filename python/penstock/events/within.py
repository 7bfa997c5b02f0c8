"""A bus whose bridged events are written in a transaction of the user's."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from penstock._native import Emission, Outcomes

if TYPE_CHECKING:
    from penstock.outbox.transactions import Transaction

    from .bus import EventBus

__all__ = ("Within", "take_mark")


class _Mark:
    """Says that one event was written; the first emission of it takes the mark."""

    __slots__ = ("is_taken", "key")

    def __init__(self, key: str | type) -> None:
        self.key = key
        self.is_taken = False


_written: ContextVar[_Mark | None] = ContextVar("penstock_event_written", default=None)
# Handlers inherit it, and what they emit in turn was not written.


def take_mark(key: str | type, *, look: bool = False) -> bool:
    """Whether what is about to be emitted was written; once, but for a mere look."""
    mark = _written.get()
    if mark is None or mark.is_taken or mark.key != key:
        return False
    mark.is_taken = not look
    return True


class Within:
    """What `bus.within(connection)` is: emits whose events are written to the bridged outboxes
    first.

    If that fails, the emit raises and no handler has heard of it. The handlers of this process run
    at once, inside the transaction, so also when it is rolled back afterwards: what must hear only
    of what was committed subscribes behind the `Relay`.
    """

    def __init__(self, bus: EventBus, written: Transaction) -> None:
        self._bus = bus
        self._connection = written

    def __repr__(self) -> str:
        return f"<{self._bus!r} within {self._connection!r}>"

    async def emit(self, event: Any, data: Any = None, /) -> Outcomes:
        """As `EventBus.emit`."""
        token = _written.set(_Mark(self._write(event, data)))
        try:
            if isinstance(event, str):
                return await self._bus.emit(event, data)
            return await self._bus.emit(event)
        finally:
            _written.reset(token)

    def emit_nowait(self, event: Any, data: Any = None, /) -> Emission:
        """As `EventBus.emit_nowait`; also from the function of a store's `transact`."""
        token = _written.set(_Mark(self._write(event, data)))
        try:
            if isinstance(event, str):
                return self._bus.emit_nowait(event, data)
            return self._bus.emit_nowait(event)
        finally:
            _written.reset(token)

    def _write(self, event: Any, data: Any) -> str | type:
        key, payload = (event, data) if isinstance(event, str) else (type(event), event)
        route = self._bus._find_route(key)
        for handler in route.handlers:
            write = handler.subscription.write
            if write is not None:
                write(self._connection, key, payload)
        return key
