"""Stages that call a function for each item, in the task of their segment.

A function that is a coroutine function, or whose first result is awaitable, is awaited; then
each item is handed on before the next is begun, as in an async generator, because a result
that is ready must not wait for a call that may take long. A plain function is called in
slices (`pace`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from inspect import isawaitable, iscoroutinefunction
from itertools import islice
from operator import length_hint
from types import CoroutineType
from typing import Any

from .pace import Slice
from .policy import Policy
from .step import Step

__all__ = ("Filter", "Map")


class _PerItem(Step):
    def __init__(self, name: str, upstream: Step, fn: Callable[[Any], Any], policy: Policy) -> None:
        super().__init__(name, upstream)
        self._upstream = upstream
        self._fn = fn
        self._policy = policy
        self._awaits: bool | None = True if iscoroutinefunction(fn) else None
        self._items: list[Any] = []
        self._rest: Iterator[Any] = iter(())
        self._slice = Slice()

    async def pull(self, want: int) -> list[Any] | None:
        if self._failure is not None:
            raise self._failure
        rest = self._rest
        if not length_hint(rest):
            items = await self._upstream.pull(want)
            if not items:
                return items
            self.tally.items_in += len(items)
            self._items, self._rest = items, iter(items)
            rest = self._rest
        if self._awaits is not False:
            # Here and not in a method: a call more would add a third to what a ready one costs.
            item = next(rest)
            try:
                result = self._fn(item)
                if self._awaits is None:
                    self._awaits = isawaitable(result)
                if type(result) is CoroutineType or isawaitable(result):
                    result = await result
            except Exception as error:  # noqa: BLE001
                if (failure := await self._let_go(error)) is not None:
                    return self._fail(failure, self._position(), [])
                return []
            except BaseException:
                self._break(self._position())
                raise
            return self._meaning(item, result)
        out: list[Any] = []
        slice_ = self._slice
        slice_.begin()
        while True:
            try:
                self._run(islice(rest, slice_.round), out)
            except Exception as error:  # noqa: BLE001
                if (failure := await self._let_go(error)) is not None:
                    return self._fail(failure, self._position(), out)
            if slice_.is_over() or not length_hint(rest):
                return self._emit(out)

    async def _let_go(self, error: Exception) -> Exception | None:
        item = self._items[-1 - length_hint(self._rest)]
        return await self._settle(self._policy, item, error, self._position())

    def _position(self) -> int:
        return self.tally.items_in - length_hint(self._rest)

    @abstractmethod
    def _run(self, items: Iterator[Any], out: list[Any]) -> None:
        """Call the plain function for these items."""

    @abstractmethod
    def _meaning(self, item: Any, result: Any) -> list[Any]:
        """Return, and count, what is handed on for one result."""


class Map(_PerItem):
    def _run(self, items: Iterator[Any], out: list[Any]) -> None:
        fn, append = self._fn, out.append
        for item in items:
            append(fn(item))

    def _meaning(self, item: Any, result: Any) -> list[Any]:  # noqa: ARG002
        self.tally.items_out += 1
        return [result]


class Filter(_PerItem):
    def _run(self, items: Iterator[Any], out: list[Any]) -> None:
        fn, append = self._fn, out.append
        for item in items:
            if fn(item):
                append(item)

    def _meaning(self, item: Any, result: Any) -> list[Any]:
        return self._emit([item] if result else [])
