"""`QueryBus`: what asks and changes nothing, with one answer or with many."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, NoReturn, TypeVar, overload

from penstock.errors import Misuse
from penstock.streams import Stream

from .bus import Bus
from .message import Kind, Query, StreamQuery, named
from .resolver import Scope
from .stream_behaviour import NextItems
from .sync import SyncBus
from .within import Within

__all__ = ("QueryBus",)

R = TypeVar("R")
T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])


class QueryBus(Bus):
    """Hands each query to the one handler that is registered for it, through behaviours.

    As `CommandBus`, for what changes nothing, so that answers may be remembered (`Cached`) and
    queries repeated. A `StreamQuery` is answered item by item: `stream`.

    Example:
        >>> import asyncio
        >>> from dataclasses import dataclass
        >>> queries = QueryBus("users")
        >>> @dataclass(frozen=True)
        ... class Letters(StreamQuery[str]):
        ...     word: str
        >>> @queries.handler(Letters)
        ... async def letters(query: Letters):
        ...     for letter in query.word:
        ...         yield letter
        >>> asyncio.run(queries.stream(Letters("Ada")).collect())
        ['A', 'd', 'a']

    """

    _sent = (Query, StreamQuery)
    _verb = "execute"
    _elsewhere = "commands go to a CommandBus: commands.execute(…)"

    def register(
        self,
        kind: type[Query[Any] | StreamQuery[Any]] | str,
        handler: Callable[..., Any],
        *,
        inline: bool = False,
        reentrant: bool = False,
    ) -> None:
        """Have `handler` called for every query of `kind`; see `CommandBus.register`.

        For a `StreamQuery` it is an async generator function, a function that returns an async
        iterable, or with `inline=True` a generator function that never waits. It is closed when
        whoever reads it is done, wherever it stands.
        """
        self._register(
            kind,
            handler,
            inline=inline,
            reentrant=reentrant,
            events=(),
            names=sys._getframe(1).f_locals,  # noqa: SLF001
        )

    def handler(
        self,
        kind: type[Query[Any] | StreamQuery[Any]] | str,
        *,
        inline: bool = False,
        reentrant: bool = False,
    ) -> Callable[[H], H]:
        """Decorates a handler; as `register`."""
        return self._decorate(kind, inline=inline, reentrant=reentrant, events=())

    @overload
    def execute(self, query: Query[R], /) -> Coroutine[Any, Any, R]: ...
    @overload
    def execute(self, query: str, data: Any, /) -> Coroutine[Any, Any, Any]: ...
    def execute(self, query: Any, /, *data: Any) -> Coroutine[Any, Any, Any]:
        """Await the query's handler, and return its answer; see `CommandBus.execute`."""
        if data:
            return self._by_name(query, data)  # type: ignore[no-any-return]
        return self._calls[type(query)](query)

    def stream(self, query: StreamQuery[T], /) -> Stream[T]:
        """The answers as a `Stream`: nothing runs before it is read, and no faster than it is.

        `async with queries.stream(query) as items:` and `async for item in items`, or any of the
        stream's operators. Leaving the block, by whatever way, closes the handler's generator and
        its dependencies before it goes on. Another run asks again.

        Raises NoHandler and Misuse as `execute` does, already when it is called.
        """
        return Stream.from_iterable(Items(query, self._step(query)))

    def _step(self, query: Any) -> NextItems:
        step: NextItems | None = self._streams.get(type(query))
        if step is None:
            if isinstance(query, Query):
                raise Misuse(
                    f"{self!r}: {named(type(query))} has one answer", hint="await execute(query)"
                )
            self.refuse(type(query))
        return step

    def within(self, scope: Scope, /) -> WithinQueries:
        """The same bus with dependencies from an open scope; see `CommandBus.within`."""
        return WithinQueries(self, scope)

    @property
    def sync(self) -> SyncQueries:
        """A blocking view for threads: `with queries.sync as blocking: blocking.execute(...)`."""
        return SyncQueries(self)

    def refuse(self, kind: Kind) -> NoReturn:
        """See `Bus`; a stream is told how it is read."""
        if isinstance(kind, type) and issubclass(kind, StreamQuery) and kind in self._streams:
            raise Misuse(
                f"{self!r}: {named(kind)} has many answers", hint="queries.stream(query) reads them"
            )
        super().refuse(kind)


class Items:
    """Makes the generator when it is read, and not before."""

    def __init__(self, query: Any, step: NextItems) -> None:
        self._query = query
        self._step = step

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._step(self._query)


class WithinQueries(Within):
    """What `queries.within(scope)` returns."""

    _bus: QueryBus

    @overload
    def execute(self, query: Query[R], /) -> Coroutine[Any, Any, R]: ...
    @overload
    def execute(self, query: str, data: Any, /) -> Coroutine[Any, Any, Any]: ...
    def execute(self, query: Any, /, *data: Any) -> Coroutine[Any, Any, Any]:
        """As `QueryBus.execute`."""
        return self._execute(query, data)

    def stream(self, query: StreamQuery[T], /) -> Stream[T]:
        """As `QueryBus.stream`; the scope has to stay open as long as it is read."""
        step = self._bus._step(query)  # noqa: SLF001 - its other half
        return Stream.from_iterable(Items(query, self._items_in_scope(step)))


class SyncQueries(SyncBus):
    """What `queries.sync` is."""

    _bus: QueryBus

    @overload
    def execute(self, query: Query[R], /) -> R: ...
    @overload
    def execute(self, query: str, data: Any, /) -> Any: ...
    def execute(self, query: Any, /, *data: Any) -> Any:
        """As `QueryBus.execute`, blocking."""
        return self._wait(lambda: self._bus.execute(query, *data))

    def stream(self, query: StreamQuery[T], /) -> Iterator[T]:
        """As `QueryBus.stream`; closing the iterator closes the handler's generator.

        Each item is a round trip to the loop's thread: let the query give lists if they are many.
        """
        run = self._bus.stream(query)

        async def begin() -> Any:
            return await run.__aenter__()

        async def end() -> None:
            await run.__aexit__(None, None, None)

        items = self._wait(begin)
        try:
            while True:
                item = self._wait(partial(anext, items, self))
                if item is self:
                    return
                yield item
        finally:
            self._wait(end)
