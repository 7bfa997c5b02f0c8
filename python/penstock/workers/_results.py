"""The results of many calls, as they come or in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from penstock._loops import Place, current_hub

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
        self._is_async = isinstance(items, AsyncIterable)
        self._source: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._exhausted = False
        self._ordered = ordered
        self._window = window
        self._under_way: deque[Task] = deque()
        self._done: deque[Task] = deque()
        """Of those under way, if the order does not matter."""
        self._asleep: Place | None = None
        self._awaited: Task | None = None
        """The one to sleep for; `None`: any."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        while True:
            await self._fill()
            if not self._under_way:
                raise StopAsyncIteration
            task = self._next_done()
            if task is not None:
                return task.result()  # type: ignore[no-any-return]
            await self._wait()

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
        if not self._ordered:
            if not self._done:
                return None
            task = self._done.popleft()
            self._under_way.remove(task)
            return task
        task = self._under_way[0]
        if not task.done():
            return None
        return self._under_way.popleft()

    async def _fill(self) -> None:
        while not self._exhausted and len(self._under_way) < self._window:
            try:
                item = await self._source.__anext__() if self._is_async else next(self._source)
            except (StopIteration, StopAsyncIteration):
                self._exhausted = True
                return
            task = await self._pool._begin(self._function, (item,), None)  # noqa: SLF001
            self._under_way.append(task)
            task.add_done_callback(self._note)  # type: ignore[arg-type]

    def _note(self, task: Task) -> None:
        """Called by whichever thread completes a task."""
        if not self._ordered:
            self._done.append(task)
        # Looked at after the task is done: either this sees the place, or its owner sees the task.
        place = self._asleep
        if place is not None and self._awaited in (None, task):
            place.wake()

    async def _wait(self) -> None:
        self._awaited = self._under_way[0] if self._ordered else None
        self._asleep = place = current_hub().place()
        try:
            if self._next_is_done():
                return
            await place.wait()
        finally:
            self._asleep = None

    def _next_is_done(self) -> bool:
        return self._under_way[0].done() if self._ordered else bool(self._done)
