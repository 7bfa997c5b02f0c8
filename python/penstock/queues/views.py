"""One side of a queue under the names of the standard library: `queue.sync_q`, `queue.async_q`.

Code that was written for janus or culsans hands these to its threads and tasks. A view keeps
nothing: all views of a queue, and the queue, are the same queue. New code uses the queue itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from penstock._native import Queue, QueueOperation

__all__ = ("AsyncQueue", "SyncQueue")

T = TypeVar("T")


class _View(Generic[T]):
    """What both sides have in common; none of it waits."""

    __slots__ = ("wrapped",)

    def __init__(self, wrapped: Queue[T]) -> None:
        self.wrapped = wrapped

    def put_nowait(self, item: T) -> None:
        """Puts `item` in, or raises QueueFull at once; QueueShutDown after a shutdown."""
        self.wrapped.put_nowait(item)

    def get_nowait(self) -> T:
        """Takes the next item out, or raises QueueEmpty at once; QueueShutDown at the end."""
        return self.wrapped.get_nowait()

    def peek_nowait(self) -> T:
        """Looks at the next item, or raises QueueEmpty at once; for a single consumer."""
        return self.wrapped.peek_nowait()

    def task_done(self) -> None:
        """Reports an item as dealt with; Misuse, a ValueError, if there is none left."""
        self.wrapped.task_done()

    def shutdown(self, immediate: bool = False) -> None:
        """Refuses further puts; with `immediate` it drops what is inside. Of both sides."""
        self.wrapped.shutdown(immediate)

    def clear(self) -> None:
        """Drops what is inside, which then counts as done."""
        self.wrapped.clear()

    def qsize(self) -> int:
        """How many items are inside, at some moment during the call."""
        return self.wrapped.qsize()

    def empty(self) -> bool:
        """Whether nothing is inside, at some moment during the call."""
        return self.wrapped.empty()

    def full(self) -> bool:
        """Whether nothing more fits, at some moment during the call."""
        return self.wrapped.full()

    def peekable(self) -> bool:
        """Whether `peek` works: always."""
        return True

    def clearable(self) -> bool:
        """Whether `clear` works: always."""
        return True

    @property
    def maxsize(self) -> int:
        """How many items fit; 0 without a bound. May be set."""
        return self.wrapped.maxsize

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        self.wrapped.maxsize = maxsize

    @property
    def unfinished_tasks(self) -> int:
        """Items put and not yet reported by `task_done`."""
        return self.wrapped.statistics().unfinished

    @property
    def is_shutdown(self) -> bool:
        """Whether `shutdown` was called."""
        return self.wrapped.is_shutdown

    @property
    def closed(self) -> bool:
        """The same, under the name that janus gives it."""
        return self.wrapped.is_shutdown

    def __len__(self) -> int:
        return self.wrapped.qsize()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.wrapped!r}>"


class SyncQueue(_View[T]):
    """The blocking side, with the names of `queue.Queue`.

    Its methods are those of the queue: they block the calling thread without the interpreter, and
    Ctrl-C ends a wait of the main thread at once.
    """

    __slots__ = ()

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Puts `item` in, waiting while the queue is full; see `Queue.put`."""
        self.wrapped.put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Takes the next item out, waiting while there is none; see `Queue.get`."""
        return self.wrapped.get(block, timeout)

    def peek(self, block: bool = True, timeout: float | None = None) -> T:
        """Looks at the next item, waiting while there is none; see `Queue.peek`."""
        return self.wrapped.peek(block, timeout)

    def join(self) -> None:
        """Waits until every item has been reported by `task_done`."""
        self.wrapped.join()


class AsyncQueue(_View[T]):
    """The awaited side, with the names of `asyncio.Queue`; on asyncio, uvloop and trio.

    A cancelled `get` has taken nothing, a cancelled `put` has put nothing. A ready one does not
    yield, except that the loop gets a turn every 1,024 items or 100 µs.
    """

    __slots__ = ()

    def put(self, item: T) -> QueueOperation[None]:
        """Puts `item` in, waiting while the queue is full; see `Queue.aput`."""
        return self.wrapped.aput(item)

    def get(self) -> QueueOperation[T]:
        """Takes the next item out, waiting while there is none; see `Queue.aget`."""
        return self.wrapped.aget()

    def peek(self) -> QueueOperation[T]:
        """Looks at the next item, waiting while there is none; see `Queue.apeek`."""
        return self.wrapped.apeek()

    def join(self) -> QueueOperation[None]:
        """Waits until every item has been reported by `task_done`."""
        return self.wrapped.ajoin()
