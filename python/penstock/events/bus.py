"""`EventBus`: who announces, and who hears."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from penstock import _clock as clock
from penstock._loops import Place, current_hub
from penstock._native import Emission, Emitter, Outcome, Outcomes, Route
from penstock.errors import Expired, Lost, Misuse
from penstock.resilience import Policy
from penstock.resilience.lazy import Slot, within

from . import tasks as _tasks  # noqa: F401 - native code is told how tasks are made
from .delivery import Middleware
from .errors import Dropped
from .history import History
from .home import Home, here
from .names import shown
from .registry import Registry
from .signature import form_of, name_of
from .statistics import EventStatistics, HandlerStatistics
from .subscription import Options, Subscription, hears
from .sync import SyncEvents

if TYPE_CHECKING:
    from penstock.messages import Message, MessageQueue
    from penstock.outbox import Outbox
    from penstock.outbox.transactions import Transaction

    from .within import Within

__all__ = ("EventBus",)

E = TypeVar("E")
F = TypeVar("F", bound=Callable[..., Any])
_Overflow = Literal["block", "error", "drop_oldest", "drop_newest"]

_log = logging.getLogger("penstock.events")


class EventBus(Emitter):
    """Announce what happened to whoever has asked for it, inside one process.

    Use it to keep the parts of a service apart: who creates a user need not know of mails, caches
    and audits. Handlers run at once and in parallel, and `emit` tells what came of each. It is not
    durable: bridge it to an `Outbox` or a `MessageQueue` for what must not be lost. `request` is
    for one answer from one handler.

    Events are names with data (`emit("user.created", data)`) or objects (`emit(UserCreated(7))`).
    Names are words between dots; in what is subscribed to, `*` stands for one word and `**` for any
    number of them. Objects reach the handlers of their class and of its bases.

    Args:
        name: for messages, logs and tasks.
        queue: how many events may wait: those from other threads and loops, and those that nobody
            awaits while as many go on.
        overflow: what becomes of one more. "block": a thread or an awaited emit waits,
            `emit_nowait` on a loop raises Full; "error": Full is raised; "drop_oldest",
            "drop_newest": one is dropped, counted, and given to `on_drop`; whoever awaits it gets
            `Dropped`. Backlogs of serial handlers go by it, too.
        on_error: is given each failed `Outcome` of an emission that nobody awaited; logs it by
            default.
        on_drop: is given name or class, and data, of each event that is dropped.
        history: keeps what is emitted, for `replay`; off by default.
        max_depth: how many emissions may be within each other, by handlers that emit.

    `async with bus:` makes the running loop its owner; leaving the block waits for all that is
    under way, and a cancellation ends it. From then on any thread and any loop may emit. Without
    the block a bus serves one loop at a time by `await bus.emit(...)`, and, while no loop uses it,
    plain threads by `bus.sync`. asyncio, uvloop and trio. Raises Misuse for arguments that cannot
    work.

    Cost: 0.45 µs for an emit with one handler that ends at once, 0.13 µs for each further one; a
    task for each that does.

    Example:
        >>> import asyncio
        >>> bus = EventBus("users")
        >>> @bus.on("user.created")
        ... async def greet(name):
        ...     return f"hello {name}"
        >>> async def main():
        ...     return (await bus.emit("user.created", "Ada")).results
        >>> asyncio.run(main())
        ['hello Ada']

    """

    def __init__(
        self,
        name: str,
        *,
        queue: int = 1024,
        overflow: _Overflow = "block",
        on_error: Callable[[Outcome], object] | None = None,
        on_drop: Callable[[str | type, Any], object] | None = None,
        history: History | None = None,
        max_depth: int = 100,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise Misuse(f"an event bus's name is {name!r}", hint='EventBus("orders")')
        self.name = name
        if isinstance(queue, bool) or not isinstance(queue, int) or queue < 1:
            raise Misuse(f"{self!r}: queue={queue!r}", hint="how many events may wait, 1 or more")
        if overflow not in {"block", "error", "drop_oldest", "drop_newest"}:
            raise Misuse(
                f"{self!r}: overflow={overflow!r}",
                hint='"block", "error", "drop_oldest" or "drop_newest"',
            )
        if isinstance(max_depth, bool) or not 1 <= max_depth <= 200:
            raise Misuse(f"{self!r}: max_depth={max_depth!r}", hint="emissions, 1 to 200")
        for what, hook in (("on_error", on_error), ("on_drop", on_drop)):
            if hook is not None and not callable(hook):
                raise Misuse(f"{self!r}: {what}={hook!r} cannot be called", hint="a function")
        self.overflow = overflow
        self._on_error = on_error
        self._on_drop = on_drop
        if history is not None:
            if not isinstance(history, History) or history.owner is not None:
                raise Misuse(
                    f"{self!r}: history={history!r} is no History, or another bus's",
                    hint="history=History(max_bytes=1 << 20)",
                )
            history.owner = self
        self.history = history
        self._expected: list[Callable[[str | type, Any], None]] = []
        self._registry = Registry(self, self._routes)
        self._home = Home(self, queue, overflow)
        self._lost_turns = 0
        self._request_slot = Slot()
        self.sync = SyncEvents(self)
        """The same with blocking emits, for threads."""
        self._watch()

    def __repr__(self) -> str:
        return f"<EventBus {self.name!r}>"

    # -- lifetime ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._home.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_abrupt = error is not None and not isinstance(error, Exception)
        await self._home.close(is_abrupt=is_abrupt)

    async def drain(self) -> None:
        """Wait until nothing is queued and nothing goes on that nobody awaits. It stays open."""
        await self._home.drain()

    def health(self) -> bool:
        """Whether it is open, and its loop begins what comes from elsewhere."""
        return self._home.is_healthy

    # -- subscribing ----------------------------------------------------------------------------

    @overload
    def on(
        self,
        what: type[E],
        handler: Callable[[E], object] | Callable[[E, str], object] | Callable[[], object],
        /,
        *,
        priority: int = 0,
        once: bool = False,
        weak: bool = False,
        timeout: float | None = None,
        policy: Policy | None = None,
        inline: bool = False,
        serial: bool = False,
        backlog: int = 1024,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: str,
        handler: Callable[..., object],
        /,
        *,
        priority: int = 0,
        once: bool = False,
        weak: bool = False,
        timeout: float | None = None,
        policy: Policy | None = None,
        inline: bool = False,
        serial: bool = False,
        backlog: int = 1024,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: str | type,
        /,
        *,
        priority: int = 0,
        once: bool = False,
        weak: bool = False,
        timeout: float | None = None,
        policy: Policy | None = None,
        inline: bool = False,
        serial: bool = False,
        backlog: int = 1024,
    ) -> Callable[[F], F]: ...
    def on(self, what: Any, /, *handler: Any, **options: Any) -> Any:
        """Subscribe; call what it returns to unsubscribe. `@bus.on(...)` above a function, as well.

        Args:
            what: a name, a pattern such as "user.*", or a class of events.
            handler: is given the event's data; data and name, if it needs two; nothing, if it takes
                nothing. An async function begins in the emitter's own turn. A plain function runs
                in a thread, with the emitter's context, unless it is `inline`.
            priority: higher ones are started first; then in the order of subscription.
            once: for one event.
            weak: hold it weakly: it unsubscribes when nobody else holds it.
            timeout: seconds after which it is cancelled, and its outcome a `HandlerTimeout`; a
                thread is left behind.
            policy: put around each call, such as a Retry; inside of `timeout`.
            inline: a plain function is called in the emitter's turn; for quick ones.
            serial: one event at a time; the others wait in order.
            backlog: how many of them; beyond that the bus's `overflow` decides which one's outcome
                is `Dropped`.

        Raises Misuse, having changed nothing, for what is no handler: it cannot be called, takes
        more than an event has, yields, or is annotated with a class that the events are not of. Any
        thread.

        """
        if len(handler) > 1:
            raise Misuse(
                f"{self!r}: {len(handler)} handlers in one `on`", hint="one subscription each"
            )
        try:
            checked = Options(**options)
        except TypeError as error:
            raise Misuse(f"{self!r}: {error}", hint="see EventBus.on for what there is") from None
        if not handler:
            self._registry.check_what(what)

            def decorate(function: Any) -> Any:
                self._registry.add(what, function, checked)
                return function

            return decorate
        return self._registry.add(what, handler[0], checked)

    @overload
    def once(
        self,
        what: type[E],
        handler: Callable[[E], object] | Callable[[E, str], object] | Callable[[], object],
        /,
        **options: Any,
    ) -> Subscription: ...
    @overload
    def once(
        self, what: str, handler: Callable[..., object], /, **options: Any
    ) -> Subscription: ...
    @overload
    def once(self, what: str | type, /, **options: Any) -> Callable[[F], F]: ...
    def once(self, what: Any, /, *handler: Any, **options: Any) -> Any:
        """As `on`, for the next event alone."""
        return self.on(what, *handler, once=True, **options)

    def off(self, handler: Callable[..., object], what: str | type | None = None) -> None:
        """Unsubscribe a function, from `what` or from everything. Raises Misuse if it is not there.

        For what was subscribed by decorator; otherwise call what `on` returned.
        """
        self._registry.remove_handler(handler, what)

    def use(self, middleware: Middleware) -> Middleware:
        """Put an async function around every call of every handler, inside of those that are there.

        It is given a `Delivery` and a function to go on with: `async def logged(delivery, proceed):
        return await proceed()`. What it returns is the handler's result. Applies to emissions
        from now on. Nothing is paid for it as long as there is none. Raises Misuse for anything
        else.
        """
        if not callable(middleware) or form_of(middleware) != "async":
            raise Misuse(
                f"{self!r}: {middleware!r} is no async function, so it is no middleware",
                hint="async def middleware(delivery, proceed): return await proceed()",
            )
        try:
            inspect.signature(middleware).bind(None, None)
        except TypeError as error:
            raise Misuse(
                f"{self!r}: middleware {name_of(middleware)} cannot be called: {error}",
                hint="async def middleware(delivery, proceed): return await proceed()",
            ) from None
        self._registry.use(middleware)
        return middleware

    # -- waiting for one --------------------------------------------------------------------------

    @overload
    async def expect(
        self,
        what: type[E],
        /,
        *,
        where: Callable[[E], object] | None = None,
        timeout: float | None = None,
    ) -> E: ...
    @overload
    async def expect(
        self,
        what: str,
        /,
        *,
        where: Callable[[Any], object] | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    async def expect(self, what: Any, /, *, where: Any = None, timeout: float | None = None) -> Any:
        """Wait for the next event of a kind, and return its data.

        It hears what is emitted after it has begun to wait, when that is begun, whatever its
        handlers do.

        Args:
            what: as for `on`.
            where: of the data: whether it is the one. What it raises is raised here.
            timeout: seconds; then Expired.

        Cancellation ends the wait. Any loop; threads may emit meanwhile.

        """
        self._registry.check_what(what)
        if timeout is not None and not 0 <= timeout < math.inf:
            raise Misuse(f"{self!r}: timeout={timeout!r}", hint="seconds, or None")
        expectation = _Expectation(what, where, current_hub().place())
        self._expected.append(expectation)
        self._watch()
        try:
            await expectation.place.wait(timeout)
        finally:
            self._expected.remove(expectation)
            self._watch()
        if expectation.error is not None:
            raise expectation.error
        if not expectation.is_met:
            raise Expired(f"{self!r}: no {shown(what)} within {timeout:g} s")
        return expectation.data

    async def request(
        self, event: Any, data: Any = None, /, *, timeout: float | None = None
    ) -> Any:
        """Emit an event that has exactly one handler, and return what that returns.

        What the handler raises is raised here. Raises Misuse for none and for several handlers,
        before any is called; Expired after `timeout` seconds, when the handler has been cancelled;
        Lost if it was cancelled from elsewhere.
        """
        key = event if isinstance(event, str) else type(event)
        name = shown(key)
        handlers = self._find_route(key).handlers
        if len(handlers) != 1:
            names = ", ".join(handler.label for handler in handlers)
            raise Misuse(
                f"{self!r}: a request has one handler, and {name} has "
                + (f"{len(handlers)}: {names}" if handlers else "none"),
                hint="emit() is for any number of them; bus.on(...) subscribes one",
            )

        async def emit() -> Outcomes:
            return await (self.emit(event, data) if isinstance(event, str) else self.emit(event))

        if timeout is None:
            outcomes = await emit()
        else:
            if not 0 < timeout < math.inf:
                raise Misuse(f"{self!r}: timeout={timeout!r}", hint="seconds above 0, or None")
            exceeded = Expired(f"{self!r}: no answer to {name} within {timeout:g} s")
            when = clock.now() + timeout
            outcomes = await within(self._request_slot, when, lambda: exceeded, emit)
        if not outcomes:
            raise Lost(f"{self!r}: the handler of {name} unsubscribed meanwhile")
        outcome = outcomes[0]
        if outcome.error is not None:
            raise outcome.error
        if outcome.was_cancelled:
            raise Lost(f"{self!r}: the handler of {name} was cancelled")
        return outcome.result

    # -- out of the process, and into it
    # ------------------------------------------------------------

    def bridge(
        self,
        what: str | type,
        /,
        *,
        to: Outbox[Any] | MessageQueue[Any],
        key: Callable[[Any], str | None] | None = None,
        priority: int = 0,
    ) -> Subscription:
        """Hand events on as they are emitted; call what it returns to end it.

        To a `MessageQueue`: the bridge is a handler, its outcome the message's id, or why it could
        not be enqueued. To an `Outbox`: emit by `bus.within(connection)`, and the event is a row of
        that transaction before any handler hears of it; without, the emit is refused with Misuse.
        Data goes by the codec of the queue or outbox, the event's name as topic and in the header
        "penstock-event".

        Args:
            what: as for `on`.
            to: where they go. A queue is not opened by this.
            key: of the data: events of one key stay in order.

        """
        from .bridge import bridged, needs_transaction

        self._registry.check_what(what)
        handler, write = bridged(self, to, key)
        inline = write is not None
        options = Options(priority=priority, inline=inline)
        each = self._registry.add(what, handler, options)
        if write is not None:
            each.write = write
            each.refusal = lambda: needs_transaction(self, what, to)
        self._routes.clear()
        return each

    def receiver(
        self, name: str | None = None, *, queue: MessageQueue[Any] | None = None
    ) -> Callable[[Message[Any]], Awaitable[None]]:
        """A consumer's handler that emits here what comes: `queue.consumer(bus.receiver())`.

        A message that a bridge has sent is emitted under its own name, or as the object that the
        queue's `type` makes of it; others under `name`. If a handler fails, the message is tried
        again, and all its handlers with it.

        Args:
            name: of the events, for messages that do not say it.
            queue: where the messages come from, so that a bridge to it does not send them back.

        """
        from .bridge import received

        return received(self, queue, name)

    def within(self, connection: Transaction, /) -> Within:
        """The bus with a transaction: events bridged to an `Outbox` are written in it.

        `connection` is what `Outbox.add` takes.
        """
        from .within import Within

        return Within(self, connection)

    async def replay(
        self,
        *,
        to: Callable[..., object],
        what: str | type | None = None,
        since: int = 0,
    ) -> int:
        """Call a handler with what the history has kept, in order, one after the other.

        Returns the number of the last event looked at, for `since` the next time.

        Args:
            to: as for `on`; a plain function is called on the loop's thread.
            what: as for `on`; everything by default.
            since: leaves out events up to this number.

        What the handler raises is raised here, and ends it. Raises Misuse without a history.

        """
        from .replay import replay

        if self.history is None:
            raise Misuse(
                f"{self!r} keeps no history",
                hint="EventBus(name, history=History(max_bytes=1 << 20))",
            )
        return await replay(self, self.history, to, what, since)

    # -- looking
    # ------------------------------------------------------------------------------------

    def statistics(self) -> EventStatistics:
        """What it has done so far. Any thread; costs a look at every subscription."""
        each = tuple(
            HandlerStatistics(
                one.label,
                one.what.__qualname__ if isinstance(one.what, type) else one.what,
                *one.tally.counts,
            )
            for one in list(self._registry.subscriptions)
        )
        gone = [self._registry.gone, *(tally.counts for tally in list(self._registry.leaving))]
        handled, failed, cancelled = (sum(counts) for counts in zip(*gone, strict=True))
        return EventStatistics(
            emitted=self._emitted,
            handled=handled + sum(one.handled for one in each),
            failed=failed + sum(one.failed for one in each),
            cancelled=cancelled + sum(one.cancelled for one in each),
            dropped=self._home.dropped + self._lost_turns,
            waiting=self._home.waiting,
            under_way=len(self._under_way),
            handlers=each,
        )

    # -- what native code calls
    # ------------------------------------------------------------------------

    def _find_route(self, key: str | type) -> Route:
        return self._registry.find(key)

    def _select(self, route: Route, is_awaited: bool) -> Route:
        return self._registry.select(route, is_awaited)

    async def _emit_elsewhere(self, emission: Emission) -> Outcomes:
        self._tell(emission.key, emission.data)
        return await self._home.emit(emission)

    def _emit_nowait_elsewhere(self, emission: Emission) -> None:
        self._tell(emission.key, emission.data)
        self._home.emit_nowait(emission)

    def _emit_blocking_elsewhere(self, key: str | type, data: Any) -> Outcomes:
        if here() is None:
            self._tell(key, data)
        return self._home.emit_blocking(key, data)

    def _has_room(self) -> None:
        self._home.has_room()

    def _unheard(self, outcomes: Outcomes) -> None:
        for outcome in outcomes:
            if outcome.error is None:
                continue
            if self._on_error is not None:
                try:
                    self._on_error(outcome)
                except Exception:
                    _log.exception("%r: on_error failed", self)
            else:
                _log.error(
                    "%r: %s failed at %s",
                    self,
                    outcome.label,
                    outcomes.event,
                    exc_info=outcome.error,
                )

    def _not_begun(self, key: str | type, error: BaseException) -> None:
        """An emission that nobody awaits failed as a whole."""
        if not isinstance(error, Dropped):  # which `on_drop` was told
            _log.error("%r: %s was not begun", self, shown(key), exc_info=error)

    # -- what the rest of the room calls
    # ---------------------------------------------------------------

    def _remove(self, each: Subscription) -> None:
        self._registry.remove(each)

    def _lose(self, key: str | type, data: Any) -> None:
        if self._on_drop is not None:
            try:
                self._on_drop(key, data)
            except Exception:
                _log.exception("%r: on_drop failed", self)

    def _lose_turn(self) -> None:
        self._lost_turns += 1

    def _watch(self) -> None:
        """Has every emit go through Python code, as long as somebody wants to see it."""
        self._set_watched(self.history is not None or bool(self._expected))

    def _tell(self, key: str | type, data: Any) -> None:
        if self.history is not None:
            self.history.add(key, data)
        for each in list(self._expected):
            each(key, data)


class _Expectation:
    """Somebody waits for an event."""

    __slots__ = ("data", "error", "is_met", "place", "what", "where")

    def __init__(
        self, what: str | type, where: Callable[[Any], object] | None, place: Place
    ) -> None:
        self.what = what
        self.where = where
        self.place = place
        self.data: Any = None
        self.error: BaseException | None = None
        self.is_met = False

    def __call__(self, key: str | type, data: Any) -> None:
        if self.is_met or self.error is not None or not hears(self.what, key):
            return
        try:
            if self.where is not None and not self.where(data):
                return
        except Exception as error:  # raised to whoever waits
            self.error = error
        else:
            self.data = data
            self.is_met = True
        self.place.wake()
