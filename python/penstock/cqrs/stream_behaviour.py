"""What runs around handlers of a `StreamQuery`: an async generator of query and next."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias, runtime_checkable

from .handler import Handler, label_of

__all__ = ("Items", "NextItems", "StreamBehaviour", "StreamFunction", "closed_behind")

Items: TypeAlias = AsyncGenerator[Any, None]
NextItems = Callable[[Any], Items]
"""The rest of a stream's chain: `async for item in next(query)`. It is closed for you."""


@runtime_checkable
class StreamBehaviour(Protocol):
    """Wraps the rest of a stream's chain, once for each kind of query, when it is registered."""

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:
        """The async generator function that stands in `next`'s place, or `next` itself."""
        ...


class StreamFunction:
    """A behaviour that is an async generator function of query and next."""

    def __init__(self, fn: Callable[[Any, NextItems], Items]) -> None:
        self._fn = fn

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:  # noqa: ARG002
        fn = self._fn

        def step(message: Any) -> Items:
            return fn(message, next)

        return step

    def __repr__(self) -> str:
        return label_of(self._fn)


def closed_behind(next: NextItems, wrap: Callable[[NextItems], NextItems]) -> NextItems:
    """`wrap(next)`, with all that `next` has given closed when it ends, in whatever way.

    An `async for` that is left does not close what it iterated over; the garbage collector
    would, at some time, in some task.
    """
    running: ContextVar[list[Items]] = ContextVar("penstock_cqrs_items")

    def tracked(given: Any) -> Items:
        items = next(given)
        running.get().append(items)
        return items

    wrapped = wrap(tracked)
    if wrapped is tracked:
        return next

    async def step(message: Any) -> Items:
        opened: list[Items] = []
        items = wrapped(message)
        try:
            while True:
                # Not across a `yield`: what runs between two items is the reader's.
                token = running.set(opened)
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                finally:
                    running.reset(token)
                yield item
        finally:
            try:
                await items.aclose()
            finally:
                for each in reversed(opened):
                    await each.aclose()

    return step
