"""The results of many calls, as they come or in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from penstock._loops import current_hub

if TYPE_CHECKING:
    from ._pool import WorkerPool
    from ._task import Task

R = TypeVar("R")


class Results(Generic[R]):
    """An async iterator over the results of one function over many items.

    At most `window` calls are under way at a time, and no item is asked for before its turn. An
    exception of a call comes out where its result would have. When the iterator is closed (or
    left by an exception, inside `async with`), calls that have not begun are taken back.
    """

    def __init__(
        self,
        pool: WorkerPool,
        function: Callable[[Any], R],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool,
        window: int,
    ) -> None:
        self._pool = pool
        self._function = function
        self._items = items
        self._source: Iterator[Any] | AsyncIterator[Any] | None = None
        self._exhausted = False
        self._ordered = ordered
        self._window = window
        self._under_way: deque[Task] = deque()
        self._done: deque[Task] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        await self._fill()
        while self._under_way:
            task = self._next_done()
            if task is not None:
                return task.result()  # type: ignore[no-any-return]
            await self._wait()
            await self._fill()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take back what has not begun. What runs is let run, and its result dropped."""
        self._exhausted = True
        while self._under_way:
            self._under_way.popleft().cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _next_done(self) -> Task | None:
        if self._ordered:
            return self._under_way.popleft() if self._under_way[0].done() else None
        if not self._done:
            return None
        task = self._done.popleft()
        self._under_way.remove(task)
        return task

    async def _fill(self) -> None:
        while not self._exhausted and len(self._under_way) < self._window:
            try:
                item = await self._pull()
            except (StopIteration, StopAsyncIteration):
                self._exhausted = True
                return
            task = await self._pool._begin(self._function, (item,), None)  # noqa: SLF001
            self._under_way.append(task)
            if not self._ordered:
                task.add_done_callback(self._done.append)  # type: ignore[arg-type]

    async def _pull(self) -> Any:
        if self._source is None:
            if isinstance(self._items, AsyncIterable):
                self._source = aiter(self._items)
            else:
                self._source = iter(self._items)
        if isinstance(self._source, AsyncIterator):
            return await anext(self._source)
        try:
            return next(self._source)
        except StopIteration:
            raise StopAsyncIteration from None

    async def _wait(self) -> None:
        place = current_hub().place()

        def wake(_: object) -> None:
            place.wake()

        # Callbacks of tasks that are done run at once, so none is missed.
        waited = [self._under_way[0]] if self._ordered else list(self._under_way)
        for task in waited:
            task.add_done_callback(wake)
        await place.wait()
