"""Where a handler's dependencies come from.

A `Resolver` opens a scope for each call and closes it behind it; a scope gives what is asked for by
its type. `DishkaResolver` is one over a container of dishka, `Factories` one of plain functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, runtime_checkable

from penstock.errors import Misuse

from .handler import Dependency

__all__ = ("NOTHING", "NoResolver", "Resolver", "Scope", "given_scope")

T = TypeVar("T")


@runtime_checkable
class Scope(Protocol):
    """What is open for one call, or for one request that makes several."""

    async def get(self, wanted: type[T], /) -> T:
        """The instance of `wanted` that this scope has."""
        ...


@runtime_checkable
class Resolver(Protocol):
    """What a bus asks for the dependencies of its handlers."""

    def scope(self, message: Any, /) -> AbstractAsyncContextManager[Scope]:
        """A scope for one call, entered before the handler is made and left when it is done.

        An exception of the handler passes through it; so does a cancellation.
        """
        ...

    def lacks(self, wanted: Sequence[Dependency], /) -> Sequence[Dependency]:
        """Those that it could not give, for `validate()`; empty if it cannot tell."""
        ...


given_scope: ContextVar[Scope | None] = ContextVar("penstock_cqrs_scope", default=None)
"""The scope that a call runs in without one being opened for it: see `bus.within`."""


class NoResolver:
    """Stands where none was given."""

    def scope(self, message: Any, /) -> AbstractAsyncContextManager[Scope]:
        """See `Resolver`."""
        raise Misuse(
            f"{type(message).__name__} has a handler with dependencies, and its bus no resolver",
            hint="CommandBus(name, resolver=Factories()), or DishkaResolver(container)",
        )

    def lacks(self, wanted: Sequence[Dependency], /) -> Sequence[Dependency]:
        """See `Resolver`."""
        return wanted

    def __repr__(self) -> str:
        return "no resolver"


NOTHING = NoResolver()
