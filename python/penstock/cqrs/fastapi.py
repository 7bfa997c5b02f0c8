"""Buses in FastAPI: dependencies of handlers come from the request's own `Depends`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar, cast, overload

from penstock.errors import Misuse

from .bus import Bus
from .command_bus import CommandBus, WithinCommands
from .handler import Dependency
from .message import Kind, named
from .query_bus import QueryBus, WithinQueries
from .resolver import Scope
from .unit import is_unit

__all__ = ("provide",)

T = TypeVar("T")


@overload
def provide(
    bus: CommandBus, /, *kinds: Kind, given: Mapping[Any, Callable[..., Any]] | None = None
) -> Callable[..., WithinCommands]: ...
@overload
def provide(
    bus: QueryBus, /, *kinds: Kind, given: Mapping[Any, Callable[..., Any]] | None = None
) -> Callable[..., WithinQueries]: ...
def provide(
    bus: Any, /, *kinds: Kind, given: Mapping[Any, Callable[..., Any]] | None = None
) -> Callable[..., Any]:
    """A dependency of FastAPI: the bus, with what its handlers need from this request.

    `commands: Annotated[WithinCommands, Depends(provide(commands))]` in a route. A handler says
    with `Annotated[Users, Depends(get_users)]` where it gets its users from, or `given` says it
    for all handlers. FastAPI then makes them once for each request, with its caching, its
    `yield`, and `dependency_overrides` in tests, and closes them when it closes its own.

    Args:
        bus: a CommandBus or a QueryBus whose handlers are registered.
        *kinds: only what the handlers of these messages need; of all that are registered by
            default.
        given: by type, the functions that FastAPI is to call.

    Raises Misuse, when the route is defined, for a message that nobody handles yet and for a
    dependency that nobody gives and the bus's own resolver lacks. What that resolver has comes from
    it, in a scope of its own for each request.

    """
    if not isinstance(bus, Bus):
        raise Misuse(f"provide({bus!r}): this is no bus", hint="provide(commands)")
    return cast(Callable[..., Any], _Provider(bus, kinds, dict(given or {})))


class _Provider:
    """What FastAPI asks for its parameters, once for each route, and calls for each request."""

    def __init__(
        self, bus: Any, kinds: tuple[Kind, ...], given: dict[Any, Callable[..., Any]]
    ) -> None:
        self._bus = bus
        self._kinds = kinds
        self._given = given
        self._wanted: list[Any] = []

    @property
    def __signature__(self) -> inspect.Signature:
        from fastapi import Depends, params

        makers: dict[Any, Any] = {}
        missing: list[Dependency] = []
        for each in self._dependencies():
            marks = [mark for mark in each.metadata if isinstance(mark, params.Depends)]
            if marks:
                makers[each.wanted] = marks[0]
            elif each.wanted in self._given:
                makers[each.wanted] = Depends(self._given[each.wanted])
            elif each.wanted not in makers:
                missing.append(each)
        missing = [each for each in missing if each.wanted not in makers]
        lacking = list(self._bus.resolver.lacks(missing)) if missing else []
        if lacking:
            raise Misuse(
                f"{self._bus!r}: nobody gives {', '.join(named(each.wanted) for each in lacking)}",
                hint="Annotated[Users, Depends(get_users)] in the handler, or provide(bus, "
                "given={Users: get_users})",
            )
        self._wanted = list(makers)
        return inspect.Signature(
            [
                inspect.Parameter(
                    f"d{number}", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[wanted, mark]
                )
                for number, (wanted, mark) in enumerate(makers.items())
            ]
        )

    def _dependencies(self) -> list[Dependency]:
        entries = self._bus.entries
        chosen = self._kinds or tuple(entries)
        found: list[Dependency] = []
        for kind in chosen:
            entry = entries.get(kind)
            if entry is None:
                raise Misuse(
                    f"provide: nobody handles {named(kind)} of {self._bus!r} yet",
                    hint="register handlers before the routes that need them are defined",
                )
            found += [each for each in entry.handler.dependencies if not is_unit(each.wanted)]
        return found

    async def __call__(self, **made: Any) -> AsyncIterator[Any]:
        values = {wanted: made[f"d{number}"] for number, wanted in enumerate(self._wanted)}
        async with AsyncExitStack() as stack:
            yield self._bus.within(_Request(values, self._bus, stack))


class _Request:
    """What FastAPI has made for one request; the rest comes from the bus's own resolver."""

    def __init__(self, values: dict[Any, Any], bus: Any, stack: AsyncExitStack) -> None:
        self._values = values
        self._bus = bus
        self._stack = stack
        self._scope: Scope | None = None

    async def get(self, wanted: type[T], /) -> T:
        """See `Scope`."""
        if wanted in self._values:
            return cast(T, self._values[wanted])
        if self._scope is None:
            opened = self._bus.resolver.scope(self)
            self._scope = await self._stack.enter_async_context(opened)
        assert self._scope is not None, "it was opened"
        return await self._scope.get(wanted)

    def __repr__(self) -> str:
        return "a request of FastAPI"
