"""`DishkaResolver`: dependencies from a container of dishka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from penstock.errors import Misuse

from .handler import Dependency
from .resolver import Scope

if TYPE_CHECKING:
    from dishka import AsyncContainer, Container

__all__ = ("DishkaResolver",)

T = TypeVar("T")


class DishkaResolver:
    """Opens a request scope of a dishka container for each call, and closes it behind it.

    In web frameworks, where dishka has opened a scope for the request already,
    `commands.within(request_container)` takes that one instead.

    Args:
        container: of `make_async_container`, or of `make_container` for plain providers.
        context: a function of the message, whose dict goes into the scope, for providers that ask
            for what came `from_context`.

    dishka has checked the container itself when it was made; `validate()` looks whether it has what
    the handlers want. Raises Misuse for what is no container.

    """

    def __init__(
        self,
        container: AsyncContainer | Container,
        *,
        context: Callable[[Any], dict[Any, Any]] | None = None,
    ) -> None:
        if not callable(container) or not hasattr(container, "registry"):
            raise Misuse(
                f"DishkaResolver({container!r}): this is no container of dishka",
                hint="make_async_container(provider)",
            )
        if context is not None and not callable(context):
            raise Misuse(f"DishkaResolver: context={context!r} is no function of the message")
        self._container: Any = container
        self._context = context
        self._is_async = hasattr(container, "__aexit__") or type(container).__name__.startswith(
            "Async"
        )

    def scope(self, message: Any, /) -> AbstractAsyncContextManager[Scope]:
        """See `Resolver`."""
        context = None if self._context is None else self._context(message)
        opened = self._container(context) if context else self._container()
        if self._is_async:
            return cast(AbstractAsyncContextManager[Scope], opened)
        return _blocking(opened)

    def lacks(self, wanted: Sequence[Dependency], /) -> list[Dependency]:
        """See `Resolver`."""
        return [each for each in wanted if not self._has(each.wanted)]

    def _has(self, wanted: Any) -> bool:
        from dishka import DEFAULT_COMPONENT, DependencyKey

        registry = self._container.registry
        while registry is not None:
            if registry.get_factory(DependencyKey(wanted, DEFAULT_COMPONENT)) is not None:
                return True
            registry = getattr(registry, "child_registry", None)
        return False

    def __repr__(self) -> str:
        return "the dishka container"


class _Plain:
    """The scope of a container without async providers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    async def get(self, wanted: type[T], /) -> T:
        """See `Scope`."""
        found: T = self._container.get(wanted)
        return found


@asynccontextmanager
async def _blocking(opened: Any) -> AsyncIterator[Scope]:
    with opened as container:
        yield _Plain(container)
