"""Who hears what: subscriptions, and the routes that are made of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock._native import Handler, Route, Tally
from penstock.errors import Misuse

from .names import check_name, check_pattern
from .serial import check_circle
from .signature import check_handler, name_of
from .subscription import Options, Subscription
from .weave import woven
from .within import take_mark

if TYPE_CHECKING:
    from .bus import EventBus
    from .delivery import Middleware

__all__ = ("Registry",)

_MOST_ROUTES = 4096
"""Names that are remembered; a program that makes names up would keep them all."""
_MOST_LEAVING = 1024


class Registry:
    """The subscriptions of one bus. Any thread may change them; an emission keeps what it found."""

    def __init__(self, bus: EventBus, routes: dict[Any, Route]) -> None:
        self.middleware: tuple[Middleware, ...] = ()
        self.subscriptions: tuple[Subscription, ...] = ()
        """Exchanged and never changed: a weak handler may go, and be taken out, at any step."""
        self._generation = 0
        self.gone = (0, 0, 0)
        """What those have come to that unsubscribed long ago."""
        self.leaving: deque[Tally] = deque()
        """Those of the others that did: calls of them may be under way."""
        self._bus = bus
        self._routes = routes
        self._lock = threading.RLock()
        self._number = 0

    def add(
        self, what: object, handler: Callable[..., Any], options: Options, *, internal: bool = False
    ) -> Subscription:
        """Subscribes. Raises Misuse, having changed nothing, for what cannot work."""
        whose = repr(self._bus)
        self.check_what(what)
        assert isinstance(what, (str, type))
        takes = check_handler(handler, what, whose)
        options.check(handler, whose)
        if options.weak:
            _check_weak(handler, whose)
        with self._lock:
            self._number += 1
            each = Subscription(self._bus, what, handler, takes, options, self._number)
            each.is_internal = internal
            self._make(each)
            self._exchange(lambda before: tuple(sorted((*before, each), key=_order)))
        return each

    def check_what(self, what: object) -> None:
        """Raises Misuse for what is neither a name nor a pattern nor a class."""
        whose = repr(self._bus)
        if isinstance(what, str):
            check_pattern(what, whose)
        elif not isinstance(what, type):
            raise Misuse(
                f"{whose}: {what!r} is neither a name nor a class",
                hint='"user.created", "user.*", or the class of the events',
            )

    def remove(self, each: Subscription) -> None:
        """Unsubscribes. Raises Misuse if that has been done."""
        with self._lock:
            if not each.is_active:
                raise Misuse(
                    f"{self._bus!r}: {each.label} was unsubscribed already",
                    hint="call what `on` returned once; `is_active` tells",
                )
            each.is_active = False
            self.leaving.append(each.native.tally)
            if len(self.leaving) > _MOST_LEAVING:
                counts = zip(self.gone, self.leaving.popleft().counts, strict=True)
                handled, failed, cancelled = (before + more for before, more in counts)
                self.gone = (handled, failed, cancelled)
            self._exchange(lambda before: tuple(one for one in before if one is not each))

    def remove_handler(self, handler: Callable[..., Any], what: object) -> None:
        """Unsubscribes a function, from one thing or from all. Raises Misuse if it is not there."""
        with self._lock:
            found = [
                each
                for each in self.subscriptions
                if each.handler == handler and (what is None or each.what == what)
            ]
            if not found:
                raise Misuse(
                    f"{self._bus!r}: {name_of(handler)} is not subscribed"
                    + ("" if what is None else f" to {what!r}"),
                    hint="it was unsubscribed already, or is another function of that name",
                )
            for each in found:
                self.remove(each)

    def use(self, layer: Middleware) -> None:
        """Puts middleware around every handler, inside of what is there."""
        with self._lock:
            self.middleware = (*self.middleware, layer)
            for each in self.subscriptions:
                self._make(each)
            self._exchange(lambda before: before)

    def _exchange(
        self, change: Callable[[tuple[Subscription, ...]], tuple[Subscription, ...]]
    ) -> None:
        """Puts other subscriptions in place, anew if some have gone meanwhile."""
        while True:
            generation = self._generation
            changed = change(self.subscriptions)
            if generation == self._generation:
                self._generation += 1
                self.subscriptions = changed
                self._routes.clear()
                return

    def _make(self, each: Subscription) -> None:
        call, direct = woven(self._bus, each, self.middleware)
        has_middleware = bool(self.middleware) and not each.is_internal
        each.native = Handler(
            call=call,
            direct=direct,
            takes=2 if has_middleware else each.takes,
            function=each.handler if not each.options.weak else each.label,
            subscription=each,
            label=each.label,
            tally=each.tally,
        )

    # -- routes --------------------------------------------------------------------------------

    def find(self, key: str | type) -> Route:
        """Who hears a name or a class; remembered until somebody subscribes or unsubscribes."""
        with self._lock:
            route = self._routes.get(key)
            if route is None:
                if isinstance(key, str):
                    check_name(key, repr(self._bus))
                generation = self._generation
                heard = [each for each in self.subscriptions if each.hears(key) and each.is_active]
                special = any(_is_special(each) for each in heard)
                route = Route(key, [each.native for each in heard], is_special=special)
                if len(self._routes) >= _MOST_ROUTES:
                    self._routes.clear()
                if generation == self._generation:
                    self._routes[key] = route
            return route

    def select(self, route: Route, is_awaited: bool) -> Route:
        """Those of a route that hear this one emission of it."""
        # Everything that may refuse it first: then it changes nothing.
        if is_awaited:
            check_circle(route)
        self.check(route, is_written=take_mark(route.key))
        chosen = []
        with self._lock:
            for handler in route.handlers:
                each: Subscription = handler.subscription
                if each.options.weak and each.handler is None:
                    continue
                if each.options.once:
                    if not each.is_active:
                        continue
                    self.remove(each)
                chosen.append(handler)
        return Route(route.key, chosen)

    def check(self, route: Route, *, is_written: bool) -> None:
        """Raises Misuse for an event that has to be written in a transaction and was not."""
        for handler in route.handlers:
            refusal = handler.subscription.refusal
            if refusal is not None and not is_written:
                raise refusal()


def _order(each: Subscription) -> tuple[int, int]:
    return -each.options.priority, each.number


def _is_special(each: Subscription) -> bool:
    options = each.options
    return options.once or options.weak or options.serial or each.refusal is not None


def _check_weak(handler: Callable[..., Any], whose: str) -> None:
    import weakref

    try:
        weakref.ref(getattr(handler, "__self__", handler))
    except TypeError:
        raise Misuse(
            f"{whose}: {name_of(handler)} cannot be held weakly",
            hint="leave out weak=True, and unsubscribe with what `on` returns",
        ) from None
