"""`UnitOfWork`: what a handler writes with, business rows and events alike; all of it or nothing.

The `Transactional` behaviour opens one around a handler, by way of some `Units`. A handler that has
a parameter of this type is given the one that is open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, get_origin

from penstock.errors import Closed, Misuse

from .handler import Handler
from .message import named

__all__ = ("Events", "Recorded", "UnitOfWork", "Units", "current_unit", "is_unit", "unit_for")

C = TypeVar("C")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of a unit of work, as it was given."""

    topic: str
    event: Any
    key: str | None
    is_typed: bool
    """Whether it was appended as an object that has a topic, or published under one."""


class Events(Protocol):
    """Where the events of one unit of work go."""

    def write(self, recorded: Recorded, /) -> None:
        """Put it where the transaction will commit it."""
        ...


class UnitOfWork(Generic[C]):
    """One transaction, and the events that belong to it; a parameter of a command's handler.

    What is executed on `connection` and what is appended to the events is committed together when
    the handler returns, and rolled back when it raises or is cancelled. It is the handler's
    own: later uses raise Closed.

    Example:
        >>> async def create_user(command: object, unit: UnitOfWork) -> None:
        ...     unit.connection.execute("INSERT INTO users VALUES (?)", ("Ada",))
        ...     unit.publish("user.created", {"name": "Ada"}, key="Ada")

    """

    __slots__ = (
        "_connection",
        "_events",
        "_run",
        "failure",
        "is_committed",
        "is_off_the_loop",
        "recorded",
        "then",
        "units",
        "within",
    )

    def __init__(
        self,
        connection: C,
        events: Events | None,
        run: Callable[..., Any] | None = None,
        *,
        is_off_the_loop: bool = False,
    ) -> None:
        self._connection: C | None = connection
        self._events = events
        self._run = run
        self.is_off_the_loop = is_off_the_loop
        """Whether a thread of its own runs the handler, so that it may block and must not wait."""
        self.units: Units | None = None
        """What opened it."""
        self.recorded: list[Recorded] = []
        """The events so far."""
        self.then: list[Callable[[], object]] = []
        self.within = 0
        """Commands that are being executed in it, sent by its handler."""
        self.is_committed = False
        """Whether the commit is known to have happened, although it may raise a cancellation."""
        self.failure: tuple[str, BaseException] | None = None
        """A command within this unit that failed, and how: what it did is half done."""

    @property
    def connection(self) -> C:
        """The connection, in a transaction. Never commit it: the behaviour does."""
        self._check()
        return self._connection  # type: ignore[return-value]

    async def run(self, fn: Callable[[C, *Ts], R], *args: *Ts) -> R:
        """Call `fn(connection, *args)` off the loop, for what takes longer than microseconds.

        A cancellation waits until it is done, and rolls back.
        """
        connection = self.connection
        if self._run is None:
            return fn(connection, *args)
        result: R = await self._run(lambda: fn(connection, *args))
        return result

    def append(self, event: object, *, key: str | None = None) -> None:
        """Record an event that is an object: its class's `topic` names it, or else its name.

        `key` puts it in line with others of that key; without it the event's own `key` does, if it
        has one. Raises Misuse for what cannot be encoded.
        """
        if isinstance(event, (str, bytes, dict, list)) or event is None:
            raise Misuse(
                f"append({event!r}): a {type(event).__name__} does not say what happened",
                hint="publish(topic, payload), or an object of a class named for what happened",
            )
        own = getattr(event, "key", None)
        key = own if key is None and isinstance(own, str) and own else key
        self._write(Recorded(topic_of(type(event)), event, key, is_typed=True))

    def publish(self, topic: str, payload: object, *, key: str | None = None) -> None:
        """Record an event by its topic."""
        if not isinstance(topic, str) or not topic:
            raise Misuse(f"publish({topic!r}, …): the topic is no name", hint='"user.created"')
        self._write(Recorded(topic, payload, key, is_typed=False))

    def after(self, fn: Callable[[], object]) -> None:
        """Call `fn()` once it is committed; not at all if it is rolled back."""
        self._check()
        self.then.append(fn)

    @property
    def is_over(self) -> bool:
        """Whether it has been committed or rolled back."""
        return self._connection is None

    def end(self) -> None:
        """Nothing may be written any more; called by whoever opened it."""
        self._connection = None

    def _write(self, recorded: Recorded) -> None:
        self._check()
        if self._events is None:
            raise Misuse(
                f"event {recorded.topic!r}: this unit of work has neither an outbox nor a log",
                hint='Sqlite(…, outbox=Outbox("orders"))',
            )
        self._events.write(recorded)
        self.recorded.append(recorded)

    def _check(self) -> None:
        if self._connection is None:
            raise Closed("the unit of work is over", hint="use it inside of its handler only")


class Units(Protocol):
    """Opens units of work: what an adapter for a database implements, and `Transactional` uses."""

    async def transact(self, work: Callable[[UnitOfWork[Any]], Awaitable[R]], /) -> R:
        """Await `work(unit)` in a transaction, commit, and return what it returned.

        Rolls back for whatever it raises, a cancellation included, and raises that on.
        """
        ...


current_unit: ContextVar[UnitOfWork[Any] | None] = ContextVar("penstock_cqrs_unit", default=None)


def is_unit(wanted: Any) -> bool:
    """Whether a handler's parameter is annotated as a unit of work."""
    return wanted is UnitOfWork or get_origin(wanted) is UnitOfWork


def unit_for(handler: Handler) -> UnitOfWork[Any]:
    """The one that is open. Raises Misuse without one."""
    unit = current_unit.get()
    if unit is None or unit.is_over:
        raise Misuse(
            f"{handler.label} wants a unit of work; nothing opens one for {named(handler.kind)}",
            hint="bus.use(Transactional(units))",
        )
    return unit


def topic_of(kind: type) -> str:
    """The topic of events of a class: its attribute `topic`, or its name."""
    own = getattr(kind, "topic", None)
    return own if isinstance(own, str) and own else kind.__name__
