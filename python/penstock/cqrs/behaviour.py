"""What runs around handlers: `async def behaviour(message, next)`, or an object that wraps."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from penstock.errors import Misuse
from penstock.resilience import Policy, Strategy

from .handler import Handler, label_of
from .stream_behaviour import Items, NextItems, StreamBehaviour, StreamFunction

__all__ = ("Behaviour", "Next", "behaviour_of")

Next = Callable[[Any], Awaitable[Any]]
"""The rest of the chain: `await next(message)`, with the message or with another in its place."""


@runtime_checkable
class Behaviour(Protocol):
    """Wraps the rest of the chain, once for each kind of message, when it is registered.

    The form for what can be prepared: a span's name, a decoder, an instrument. What it returns is
    called with the message and returns an awaitable, so it needs no coroutine of its own.
    """

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """The function that stands in `next`'s place; `next` itself where there is nothing to do.

        Raises Misuse where it cannot work for this handler; nothing is registered then.
        """
        ...


class _Function:
    """A behaviour that is an async function of message and next."""

    def __init__(self, fn: Callable[[Any, Next], Awaitable[Any]]) -> None:
        self._fn = fn

    def wrap(self, handler: Handler, next: Next, /) -> Next:  # noqa: ARG002
        fn = self._fn

        def step(message: Any) -> Awaitable[Any]:
            return fn(message, next)

        return step

    def __repr__(self) -> str:
        return label_of(self._fn)


class _Policy:
    """A behaviour that is a policy; around a stream it is held until that ends."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:  # noqa: ARG002
        async def items(message: Any) -> Items:
            async for item in next(message):
                yield item

        return self._policy(items)

    def wrap(self, handler: Handler, next: Next, /) -> Next:  # noqa: ARG002
        run: Any = self._policy.run

        def step(message: Any) -> Awaitable[Any]:
            awaitable: Awaitable[Any] = run(next, message)
            return awaitable

        return step

    def __repr__(self) -> str:
        return repr(self._policy)


def behaviour_of(given: Any, bus: str) -> Behaviour | StreamBehaviour:
    """`given` as a behaviour. Raises Misuse for what is none."""
    if isinstance(given, Policy):
        return _Policy(given)
    if isinstance(given, Strategy):
        return _Policy(Policy(bus, given))
    if isinstance(given, type):
        raise Misuse(
            f"{bus}: the class {given.__qualname__} was given as a behaviour",
            hint=f"use({given.__name__}())",
        )
    if isinstance(given, (Behaviour, StreamBehaviour)):
        return given
    call = given if inspect.isroutine(given) else getattr(given, "__call__", None)  # noqa: B004
    if call is None:
        raise Misuse(
            f"{bus}: the behaviour {given!r} cannot be called",
            hint="`async def behaviour(message, next)`, a Policy, or an object with wrap()",
        )
    is_stream = inspect.isasyncgenfunction(call)
    if not is_stream and not inspect.iscoroutinefunction(call):
        raise Misuse(
            f"{bus}: the behaviour {label_of(given)} is not async",
            hint="`async def behaviour(message, next): return await next(message)`; "
            "for streams an async generator function",
        )
    try:
        inspect.signature(call).bind(None, None)
    except TypeError:
        raise Misuse(
            f"{bus}: the behaviour {label_of(given)} does not take a message and the next step",
            hint="`async def behaviour(message, next)`",
        ) from None
    return StreamFunction(given) if is_stream else _Function(given)
