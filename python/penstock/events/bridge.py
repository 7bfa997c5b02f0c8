"""Events that leave the process with the same emit, and those that come from another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from penstock.errors import Misuse
from penstock.messages import Message, MessageQueue
from penstock.outbox import Outbox

from .names import shown

if TYPE_CHECKING:
    from .bus import EventBus

__all__ = ("EVENT", "bridged", "needs_transaction", "received")

EVENT = "penstock-event"
"""The header that says what was emitted: a name, or the name of a class."""

_arrived: ContextVar[frozenset[int]] = ContextVar("penstock_events_arrived", default=frozenset())
"""Where the event that is being handled came from: it is not sent back there."""

Key = Callable[[Any], str | None]
Write = Callable[[Any, str | type, Any], str]


def bridged(bus: EventBus, to: object, key: Key | None) -> tuple[Callable[..., Any], Write | None]:
    """The handler that hands events on; and what writes them in a transaction, for an outbox."""
    if isinstance(to, MessageQueue):
        return _to_queue(to, key), None
    if isinstance(to, Outbox):
        return _to_outbox(to, key)
    raise Misuse(
        f"{bus!r}: {to!r} is nothing that events can be handed to",
        hint="an Outbox or a MessageQueue",
    )


def _to_queue(queue: MessageQueue[Any], key: Key | None) -> Callable[..., Awaitable[Any]]:
    async def enqueue(data: Any, name: str) -> str | None:
        if id(queue) in _arrived.get():
            return None
        of = None if key is None else key(data)
        return await queue.enqueue(data, key=of, headers={EVENT: name})

    enqueue.__qualname__ = f"bridge to {queue!r}"
    return enqueue


def _to_outbox(outbox: Outbox[Any], key: Key | None) -> tuple[Callable[..., Any], Write]:
    def write(to: Any, event: str | type, data: Any) -> str:
        name = shown(event)
        of = None if key is None else key(data)
        return outbox.add(to, topic=name, key=of, payload=data, headers={EVENT: name})

    def written() -> None:
        """It was, before any handler began."""

    written.__qualname__ = f"bridge to {outbox!r}"
    return written, write


def needs_transaction(bus: EventBus, what: str | type, outbox: object) -> Misuse:
    """Why an event for an outbox is not emitted without a transaction."""
    return Misuse(
        f"{bus!r}: {shown(what)} goes to {outbox!r}, which writes in a transaction of yours",
        hint="bus.within(connection).emit(...)",
    )


def received(
    bus: EventBus, queue: MessageQueue[Any] | None, name: str | None
) -> Callable[[Message[Any]], Awaitable[None]]:
    """A consumer's handler that emits what comes."""

    async def emit(message: Message[Any]) -> None:
        given = message.headers.get(EVENT)
        is_typed = not isinstance(message.data, (dict, list, str, int, float, bool, type(None)))
        if queue is not None:
            _arrived.set(_arrived.get() | {id(queue)})
        if name is None and is_typed:
            outcomes = await bus.emit(message.data)
            outcomes.raise_if_failed()
            return
        emitted = name or given
        if emitted is None:
            raise Misuse(
                f"{bus!r}: message {message.id} does not say which event it is",
                hint='bus.receiver(name="order.placed")',
            )
        outcomes = await bus.emit(emitted, message.data)
        outcomes.raise_if_failed()

    return emit
