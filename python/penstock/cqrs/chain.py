"""From a handler and its behaviours to one function of a message; made once, not for each call.

What is sent while a handler runs is below it in a chain: a message that meets its own kind there
would never end, so it is refused. The chain is a context variable, which goes along into tasks and
threads. It is not set back when a call is done: its link is marked as over instead, which costs
half as much, and tells a task that outlives the call that nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from penstock.errors import Misuse

from .behaviour import Behaviour
from .handler import Handler
from .message import named
from .stream_behaviour import NextItems, StreamBehaviour, closed_behind

__all__ = ("Call", "compiled", "compiled_stream", "guarded")

Call = Callable[[Any], Coroutine[Any, Any, Any]]

_chain: ContextVar[list[Any] | None] = ContextVar("penstock_cqrs_chain", default=None)
# A link: the handler whose call is under way, None once it is over, and the link above it.


def compiled(
    handler: Handler,
    behaviours: Sequence[Behaviour],
    terminal: Callable[[Any], Awaitable[Any]],
    *,
    is_reentrant: bool,
) -> Call:
    """The function that `execute` calls. Raises Misuse where a behaviour cannot work."""
    step = terminal
    for behaviour in reversed(behaviours):
        step = behaviour.wrap(handler, step)
    return guarded(handler, step, is_reentrant=is_reentrant)


def compiled_stream(
    handler: Handler, behaviours: Sequence[StreamBehaviour], terminal: NextItems
) -> NextItems:
    """The same for a stream. It has no link in the chain: a tree may well be walked by itself."""
    step = terminal
    for behaviour in reversed(behaviours):
        step = closed_behind(step, partial(behaviour.wrap_stream, handler))
    return step


def guarded(handler: Handler, step: Callable[[Any], Awaitable[Any]], *, is_reentrant: bool) -> Call:
    """`step`, as a link of the chain."""

    async def call(message: Any) -> Any:
        above = _chain.get()
        while above is not None and above[0] is None:
            above = above[1]
        if above is not None and not is_reentrant:
            _refuse_circle(handler, above)
        link = [handler, above]
        _chain.set(link)
        try:
            return await step(message)
        finally:
            link[0] = None

    # What Python says of a call that nobody awaits, and how a task of it is shown.
    call.__name__ = call.__qualname__ = f"execute {named(handler.kind)}"
    return call


def _refuse_circle(handler: Handler, link: list[Any] | None) -> None:
    chain = [handler]
    while link is not None:
        above = link[0]
        if above is not None:
            chain.append(above)
            if above is handler:
                circle = " → ".join(named(each.kind) for each in reversed(chain))
                raise Misuse(
                    f"{named(handler.kind)} is sent by its own handler, and would be for ever: "
                    f"{circle}",
                    hint="call a function for what both need; or register(…, reentrant=True), if "
                    "what is sent gets smaller each time",
                )
        link = link[1]
