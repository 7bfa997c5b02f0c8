"""`Factories`: dependencies made by plain functions, the resolver that needs no container."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from penstock.errors import Misuse

from .handler import Dependency, label_of, wants_of
from .message import named
from .resolver import Scope

__all__ = ("Factories",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Recipe:
    make: Callable[..., Any]
    form: str
    wants: tuple[Dependency, ...]


class Factories:
    """Makes dependencies by functions, anew for each call; what they need they ask for in turn.

    A factory is a class, a function, an async function, or a generator or async generator that
    yields once: what is behind the `yield` runs when the call is done, and sees its exception.
    Within one call each type is made once. Plain functions run on the loop's thread: one that
    waits for something should be async. A service with many parts is better served by a container,
    see `DishkaResolver`.

    Example:
        >>> class Clock:
        ...     def now(self) -> int: return 7
        >>> class Users:
        ...     def __init__(self, clock: Clock) -> None: self.clock = clock
        >>> factories = Factories().add(Users).value(Clock, Clock())
        >>> factories
        Factories(Users, Clock)

    """

    def __init__(self) -> None:
        self._recipes: dict[Any, _Recipe] = {}
        self._values: dict[Any, Any] = {}

    def add(self, wanted: Any, make: Callable[..., Any] | None = None, /) -> Factories:
        """Make `wanted` by `make`, or by calling `wanted` itself. Returns this, for the next one.

        Raises Misuse for what cannot be called, for parameters without an annotation, and for a
        type that is made already.
        """
        maker = wanted if make is None else make
        if not callable(maker):
            raise Misuse(
                f"Factories: {maker!r}, which is to make {named(wanted)}, cannot be called",
                hint="give a function, or value(type, instance)",
            )
        where = f"the factory {label_of(maker)}"
        self._check_new(wanted)
        names = sys._getframe(1).f_locals  # noqa: SLF001
        self._recipes[wanted] = _Recipe(maker, _form_of(maker), wants_of(maker, where, names))
        return self

    def value(self, wanted: type[T], instance: T, /) -> Factories:
        """Give this one instance whenever `wanted` is asked for. Returns this, for the next one."""
        self._check_new(wanted)
        self._values[wanted] = instance
        return self

    def scope(self, message: Any, /) -> AbstractAsyncContextManager[Scope]:
        """See `Resolver`."""
        return _Made(self, message)

    def lacks(self, wanted: Sequence[Dependency], /) -> list[Dependency]:
        """See `Resolver`."""
        return [each for each in wanted if self._lacks(each.wanted, ())]

    def _lacks(self, wanted: Any, above: tuple[Any, ...]) -> bool:
        if wanted in self._values:
            return False
        recipe = self._recipes.get(wanted)
        if recipe is None or wanted in above:
            return True
        return any(self._lacks(each.wanted, (*above, wanted)) for each in recipe.wants)

    def _check_new(self, wanted: Any) -> None:
        if wanted in self._recipes or wanted in self._values:
            raise Misuse(
                f"Factories: {named(wanted)} is made already", hint="one factory for each type"
            )

    def __repr__(self) -> str:
        return f"Factories({', '.join(map(named, [*self._recipes, *self._values]))})"


class _Made:
    """What one call has had made; the scope that `Factories` opens."""

    __slots__ = ("_factories", "_made", "_making", "_message", "_stack")

    def __init__(self, factories: Factories, message: Any) -> None:
        self._factories = factories
        self._message = message
        self._made: dict[Any, Any] = {}
        self._making: list[Any] = []
        self._stack: AsyncExitStack | None = None

    async def get(self, wanted: type[T], /) -> T:
        """See `Scope`."""
        made = self._made
        if wanted in made:
            return cast(T, made[wanted])
        values = self._factories._values  # noqa: SLF001 - its other half
        if wanted in values:
            return cast(T, values[wanted])
        recipe = self._factories._recipes.get(wanted)  # noqa: SLF001
        if recipe is None:
            raise Misuse(
                f"nobody makes {named(wanted)}, which the handler of "
                f"{named(type(self._message))} needs",
                hint=f"factories.add({getattr(wanted, '__name__', wanted)}, …)",
            )
        if wanted in self._making:
            circle = " → ".join(map(named, [*self._making, wanted]))
            raise Misuse(f"factories need each other in a circle: {circle}", hint="cut it")
        self._making.append(wanted)
        try:
            given = {each.name: await self.get(each.wanted) for each in recipe.wants}
            made[wanted] = value = await self._make(recipe, given)
        finally:
            self._making.pop()
        return cast(T, value)

    async def _make(self, recipe: _Recipe, given: dict[str, Any]) -> Any:
        if recipe.form == "sync":
            return recipe.make(**given)
        if recipe.form == "async":
            return await recipe.make(**given)
        if self._stack is None:
            self._stack = AsyncExitStack()
        if recipe.form == "generator":
            return self._stack.enter_context(contextmanager(recipe.make)(**given))
        return await self._stack.enter_async_context(asynccontextmanager(recipe.make)(**given))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.__aexit__(kind, error, trace)


def _form_of(make: Any) -> str:
    if inspect.isasyncgenfunction(make):
        return "async generator"
    if inspect.isgeneratorfunction(make):
        return "generator"
    return "async" if inspect.iscoroutinefunction(make) else "sync"
