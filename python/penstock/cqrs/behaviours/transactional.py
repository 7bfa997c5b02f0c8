"""`Transactional`: a unit of work around each handler, and events told once it is committed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from penstock.cqrs.behaviour import Next
from penstock.cqrs.handler import Handler
from penstock.cqrs.message import named
from penstock.cqrs.unit import Recorded, UnitOfWork, Units, current_unit
from penstock.errors import Misuse

__all__ = ("Emits", "Transactional")

logger = logging.getLogger("penstock.cqrs")


class Emits(Protocol):
    """An `EventBus`, or whatever else is told of events in this process."""

    def emit(self, event: Any, data: Any = None, /) -> Awaitable[Any]:
        """Tell of an object, or of a topic and its payload; what it awaits is waited for."""
        ...


class Transactional:
    """Opens a unit of work around the handler: committed when it returns, else rolled back.

    Any exception rolls back, a cancellation as well. What a command's handler sends to the same bus
    runs in the unit that is open, and is committed with it.

    Args:
        units: what opens them, such as `Sqlite`.
        emit: an `EventBus` (or anything with its `emit`) that is told of the unit's events once
            they are committed. It is told once and in this process: what must not be lost with the
            process goes by the outbox and its relay. A bus that fails is logged; the command has
            succeeded.

    """

    def __init__(self, units: Units, *, emit: Emits | None = None) -> None:
        if not callable(getattr(units, "transact", None)):
            raise Misuse(
                f"Transactional: {units!r} opens no units of work",
                hint='Transactional(Sqlite("orders.db"))',
            )
        if emit is not None and not callable(getattr(emit, "emit", None)):
            raise Misuse(f"Transactional: {emit!r} has no emit()", hint="emit=an EventBus")
        self.units = units
        self._bus = emit

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        units, bus = self.units, self._bus
        check = getattr(units, "check", None)
        if check is not None:
            check(handler)

        async def transactional(message: Any) -> Any:
            outer = current_unit.get()
            if outer is not None and outer.units is units and not outer.is_over:
                return await next(message)
            recorded: list[Recorded] = []
            then: list[Callable[[], object]] = []

            async def work(unit: UnitOfWork[Any]) -> Any:
                nonlocal recorded, then
                recorded, then = unit.recorded, unit.then
                unit.units = units
                token = current_unit.set(unit)
                try:
                    return await next(message)
                finally:
                    unit.end()
                    current_unit.reset(token)

            result = await units.transact(work)
            for each in then:
                each()
            if bus is not None and recorded:
                await _tell(bus, recorded, handler)
            return result

        return transactional

    def __repr__(self) -> str:
        return f"Transactional({self.units!r})"


async def _tell(bus: Emits, recorded: list[Recorded], handler: Handler) -> None:
    for each in recorded:
        try:
            if each.is_typed:
                await bus.emit(each.event)
            else:
                await bus.emit(each.topic, each.event)
        except Exception:
            logger.exception(
                "%s is committed, and the event %r could not be told of",
                named(handler.kind),
                each.topic,
            )
