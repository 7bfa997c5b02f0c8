"""`flat_map`: each item becomes as many as its function gives, one after the other.

What the function returns is read as it is needed, so an expansion may be endless; it may be an
iterable, an async iterable, or an awaitable of either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from inspect import isawaitable, iscoroutinefunction
from itertools import islice
from operator import length_hint
from typing import Any, Final

from .generators import aclose_generator, close_generator
from .pace import Slice
from .policy import Policy
from .step import Step

__all__ = ("FlatMap",)

_AT_ONCE: Final = 1024


class FlatMap(Step):
    def __init__(self, name: str, upstream: Step, fn: Callable[[Any], Any], policy: Policy) -> None:
        super().__init__(name, upstream)
        self._fn = fn
        self._policy = policy
        self._awaits: bool | None = True if iscoroutinefunction(fn) else None
        self._items: list[Any] = []
        self._rest: Iterator[Any] = iter(())
        self._inner: Iterator[Any] | None = None
        self._async_inner: AsyncIterator[Any] | None = None
        self._slice = Slice()

    async def pull(self, want: int) -> list[Any] | None:
        if self._failure is not None:
            raise self._failure
        if self._inner is None and self._async_inner is None and not length_hint(self._rest):
            items = await self._receive(want)
            if not items:
                return items
            self._items, self._rest = items, iter(items)
        out: list[Any] = []
        try:
            await self._gather(min(want, _AT_ONCE), out)
        except Exception as error:  # noqa: BLE001
            item, position = self._items[-1 - length_hint(self._rest)], self._position()
            await self._abandon()
            failure = await self._settle(self._policy, item, error, position)
            if failure is not None:
                return self._fail(failure, position, out)
        except BaseException:
            self._break(self._position())
            raise
        return self._emit(out)

    async def close(self) -> None:
        await self._abandon()

    async def _abandon(self) -> None:
        """Let go of what is left of the expansion under way."""
        inner, self._inner = self._inner, None
        async_inner, self._async_inner = self._async_inner, None
        close_generator(inner)
        await aclose_generator(async_inner)

    async def _gather(self, limit: int, out: list[Any]) -> None:
        """Expand for about a slice. What may wait is waited for with empty hands only."""
        slice_ = self._slice
        slice_.begin()
        left = slice_.round
        while len(out) < limit:
            if self._inner is not None:
                self._take(min(slice_.round, limit - len(out)), out)
            elif out and (self._awaits or self._async_inner is not None):
                return
            elif self._async_inner is not None:
                await self._take_one(out)
                return
            elif length_hint(self._rest):
                await self._expand(next(self._rest))
            else:
                return
            left -= 1
            if not left:
                if slice_.is_over():
                    return
                left = slice_.round

    async def _expand(self, item: Any) -> None:
        expansion = self._fn(item)
        if self._awaits is None:
            self._awaits = isawaitable(expansion)
        if isawaitable(expansion):
            expansion = await expansion
        if hasattr(expansion, "__aiter__"):
            self._async_inner = aiter(expansion)
        else:
            self._inner = iter(expansion)

    def _take(self, room: int, out: list[Any]) -> None:
        assert self._inner is not None
        before = len(out)
        # `extend` keeps what an iterator gave before it raised.
        out.extend(islice(self._inner, room))
        if len(out) - before < room:
            self._inner = None

    async def _take_one(self, out: list[Any]) -> None:
        assert self._async_inner is not None
        try:
            out.append(await anext(self._async_inner))
        except StopAsyncIteration:
            self._async_inner = None

    def _position(self) -> int:
        return self.tally.items_in - length_hint(self._rest)
