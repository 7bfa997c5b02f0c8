"""From a user's function to what an emission calls: timeout, policy, thread, middleware, turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from penstock import _clock as clock
from penstock.resilience.lazy import Slot, within

from .delivery import Delivery, Middleware
from .errors import HandlerTimeout
from .serial import Serial
from .signature import form_of
from .threads import thread_limiter

if TYPE_CHECKING:
    from .bus import EventBus
    from .subscription import Subscription

__all__ = ("woven",)

Call = Callable[..., Any]


def woven(
    bus: EventBus, each: Subscription, middleware: tuple[Middleware, ...]
) -> tuple[Call, Call | None]:
    """What an emission on a loop calls, and what a plain thread calls; None if it cannot."""
    fn = _held(each)
    options = each.options
    is_async = form_of(each.handler) == "async" if each.handler is not None else False
    if options.policy is not None:
        fn = options.policy(_as(fn, is_async))
    direct = None if is_async else fn
    if not is_async and not options.inline:
        whose = f"{bus!r}: {each.label}"
        fn = _off_loop(whose, bus.max_depth, fn, leave=options.timeout is not None)
        is_async = True
    if options.timeout is not None:
        fn = _timed(fn, options.timeout, f"{bus!r}: {each.label}")
        direct = None
    if options.serial:
        call = _awaitable(fn, is_async)
        if each.serial is None:
            lost = bus._lose_turn
            each.serial = Serial(each.label, call, options.backlog, bus.overflow, lost)
        # The turns stay, when middleware is put around them later.
        each.serial.call = call
        fn = each.serial
        direct = None
    if middleware and not each.is_internal:
        fn = _through(middleware, fn, each)
        direct = None
    return fn, direct


def _held(each: Subscription) -> Call:
    handler = each.handler
    assert handler is not None
    if not each.options.weak:
        return handler
    if form_of(handler) == "async":

        async def call_async(*args: Any) -> Any:
            found = each.handler
            return None if found is None else await found(*args)

        return call_async

    def call(*args: Any) -> Any:
        found = each.handler
        return None if found is None else found(*args)

    return call


def _as(fn: Call, is_async: bool) -> Call:
    """A function of that form to whoever looks at it: a policy does."""
    if (form_of(fn) == "async") == is_async:
        return fn

    async def call(*args: Any) -> Any:
        return await fn(*args)

    return call


def _awaitable(fn: Call, is_async: bool) -> Callable[..., Awaitable[Any]]:
    if is_async:
        return fn

    async def call(*args: Any) -> Any:
        return await _finished(fn(*args))

    return call


async def _finished(value: Any) -> Any:
    """What a plain function returned, and what comes of it where that is to be awaited."""
    return await value if hasattr(value, "__await__") else value


def _off_loop(whose: str, most: int, fn: Call, *, leave: bool) -> Call:
    async def in_thread(*args: Any) -> Any:
        limiter = thread_limiter(whose, most)
        value = await anyio.to_thread.run_sync(fn, *args, abandon_on_cancel=leave, limiter=limiter)
        return await _finished(value)

    return in_thread


def _timed(fn: Call, seconds: float, whose: str) -> Call:
    slot = Slot()

    def exceeded() -> HandlerTimeout:
        return HandlerTimeout(f"{whose} took more than {seconds:g} s")

    async def timed(*args: Any) -> Any:
        return await within(slot, clock.now() + seconds, exceeded, partial(fn, *args))

    return timed


def _through(middleware: tuple[Middleware, ...], fn: Call, each: Subscription) -> Call:
    """The outermost first. Called with data and key whatever the handler takes."""
    takes = each.takes

    async def innermost(data: Any, name: Any) -> Any:
        return await _finished(fn(*(data, name)[:takes]))

    async def through(data: Any, name: Any) -> Any:
        handler = each.handler
        if handler is None:
            return None
        event = type(data) if isinstance(each.what, type) else name
        delivery = Delivery(event, data, handler)
        call: Callable[[], Awaitable[Any]] = partial(innermost, data, name)
        for layer in reversed(middleware):
            call = partial(layer, delivery, call)
        return await call()

    return through
