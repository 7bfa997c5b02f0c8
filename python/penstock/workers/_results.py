"""The results of many calls, as they come or in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from penstock._loops import Place, current_hub
from penstock.errors import Misuse

if TYPE_CHECKING:
    from ._pool import WorkerPool

R = TypeVar("R")

_NOTHING: Any = object()


class Results(Generic[R]):
    """An async iterator over the results of one function over many items.

    At most `window` calls are under way at a time, and no item is asked for before its turn. An
    exception of a call comes out where its result would have. When the iterator is closed (or
    left by an exception, inside `async with`), calls that have not begun are taken back.

    Cancelling a step loses nothing: the next step goes on where it was. One task at a time.
    """

    def __init__(
        self,
        pool: WorkerPool,
        function: Callable[[Any], R],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool,
        window: int | None,
    ) -> None:
        self._pool = pool
        self._function = function
        self._source: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._is_async = isinstance(items, AsyncIterable)
        self._item = _NOTHING
        """Taken from the source and not submitted yet."""
        self._exhausted = False
        self._failure: Exception | None = None
        """Of the source; comes out behind the results of what it gave."""
        self._ordered = ordered
        self._window = window
        self._under_way: deque[Future[R]] = deque()
        self._done: deque[Future[R]] = deque()
        """Unordered: those under way that are done. Filled by the pool's thread."""
        self._sleeper: Place | None = None
        self._awaited: Future[R] | None = None
        """Ordered: the one that the sleeper is to be woken for."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        await self._fill()
        while self._under_way:
            future = self._next_done()
            if future is not None:
                return future.result()
            await self._wait()
            await self._fill()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take back what has not begun. What runs is let run, and its result dropped."""
        self._exhausted = True
        self._failure, self._item = None, _NOTHING
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

    def _next_done(self) -> Future[R] | None:
        if self._ordered:
            return self._under_way.popleft() if self._under_way[0].done() else None
        if not self._done:
            return None
        future = self._done.popleft()
        self._under_way.remove(future)
        return future

    async def _fill(self) -> None:
        window = self._window or self._pool._window()  # noqa: SLF001
        while not self._exhausted and len(self._under_way) < window:
            if self._item is _NOTHING:
                try:
                    if self._is_async:
                        self._item = await anext(self._source)
                    else:
                        self._item = next(self._source)
                except (StopIteration, StopAsyncIteration):
                    self._exhausted = True
                    return
                except Exception as failure:
                    self._exhausted, self._failure = True, failure
                    return
            await self._pool._enter(None)  # noqa: SLF001
            future: Future[R]
            try:
                future = self._pool._launch(self._function, (self._item,), {}, None)  # noqa: SLF001
            except Misuse as refusal:
                future = Future()
                future.set_exception(refusal)
            self._item = _NOTHING
            self._under_way.append(future)
            future.add_done_callback(self._note)

    def _note(self, future: Future[R]) -> None:
        # On the pool's thread: first the result, then the look for a sleeper; `_wait` does it in
        # the opposite order, so one sees the other.
        if not self._ordered:
            self._done.append(future)
        sleeper = self._sleeper
        if sleeper is not None and (not self._ordered or future is self._awaited):
            sleeper.wake()

    async def _wait(self) -> None:
        self._awaited = self._under_way[0]
        self._sleeper = current_hub().place()
        try:
            if not (self._awaited.done() if self._ordered else self._done):
                await self._sleeper.wait()
        finally:
            self._sleeper = self._awaited = None
