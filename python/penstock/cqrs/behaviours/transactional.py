"""`Transactional`: a unit of work around each handler, and events told once it is committed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, NoReturn, Protocol

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

    Any exception rolls back, a cancellation as well; one during the commit waits for its end, and
    what belongs behind it happens. What a command's handler sends to the same bus runs in the unit
    that is open, and is committed with it; if that fails, the whole is not committed.

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
                return await _within(outer, handler, next, message)
            opened: list[UnitOfWork[Any]] = []
            answers: list[Any] = []

            async def work(unit: UnitOfWork[Any]) -> Any:
                opened[:] = [unit]
                unit.units = units
                token = current_unit.set(unit)
                try:
                    answers[:] = [await next(message)]
                finally:
                    unit.end()
                    current_unit.reset(token)
                if unit.failure is not None:
                    _refuse_half(unit.failure, handler)
                if unit.within:
                    raise Misuse(
                        f"{named(handler.kind)} has ended, and {unit.within} of the commands it "
                        "sent have not: nothing is committed, as theirs would be there by half",
                        hint="await what it sends; what may come later belongs to an event",
                    )
                return answers[0]

            try:
                result = await units.transact(work)
            except BaseException as error:
                if opened and opened[0].is_committed:
                    # Cancelled during the commit: what belongs behind it has to happen, too.
                    await _behind(opened[0], bus, handler)
                    error.committed = answers[0]  # type: ignore[attr-defined]
                raise
            await _behind(opened[0], bus, handler)
            return result

        return transactional

    def __repr__(self) -> str:
        return f"Transactional({self.units!r})"


async def _within(unit: UnitOfWork[Any], handler: Handler, next: Next, message: Any) -> Any:
    """A command that another one's handler has sent, in the unit of that one."""
    unit.within += 1
    try:
        return await next(message)
    except BaseException as error:
        unit.failure = named(handler.kind), error
        raise
    finally:
        unit.within -= 1


def _refuse_half(failure: tuple[str, BaseException], handler: Handler) -> NoReturn:
    kind, error = failure
    raise Misuse(
        f"{named(handler.kind)} went on although {kind}, which it had sent, failed: nothing is "
        f"committed, as what {kind} did would be there by half",
        hint="let the failure out, or look before you send",
    ) from error


async def _behind(unit: UnitOfWork[Any], bus: Emits | None, handler: Handler) -> None:
    """What comes once it is committed. The command has succeeded, whatever goes wrong here."""
    for each in unit.then:
        try:
            each()
        except Exception:
            logger.exception("%s is committed, and %r failed behind it", named(handler.kind), each)
    if bus is not None and unit.recorded:
        await _tell(bus, unit.recorded, handler)


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
