"""Calls that take their dependencies from a scope that somebody else has opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

from penstock.errors import Misuse

from .bus import Bus
from .chain import Call
from .resolver import Scope, given_scope
from .stream_behaviour import Items, NextItems

__all__ = ("Within",)


class Within:
    """The base of what `bus.within(scope)` returns."""

    __slots__ = ("_bus", "_scope")

    def __init__(self, bus: Bus, scope: Scope) -> None:
        if not isinstance(scope, Scope):
            raise Misuse(
                f"{bus!r}: {scope!r} is no scope", hint="an object with `async def get(self, type)`"
            )
        self._bus = bus
        self._scope = scope

    def _execute(self, message: Any, data: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
        # Looked up at once, and called when it is awaited.
        return self._in_scope(*self._bus.found(message, data))

    async def _in_scope(self, call: Call, message: Any) -> Any:
        token = given_scope.set(self._scope)
        try:
            return await call(message)
        finally:
            given_scope.reset(token)

    def _items_in_scope(self, step: NextItems) -> NextItems:
        scope = self._scope

        async def scoped(message: Any) -> Items:
            async with aclosing(step(message)) as items:
                iterator: AsyncIterator[Any] = items
                while True:
                    # Not across a `yield`: what runs between two items is the reader's.
                    token = given_scope.set(scope)
                    try:
                        item = await anext(iterator)
                    except StopAsyncIteration:
                        return
                    finally:
                        given_scope.reset(token)
                    yield item

        return scoped

    def __repr__(self) -> str:
        return f"{self._bus!r} within {self._scope!r}"
