"""The blocking view of a message queue, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from penstock._durable.pages import Page

from .letters import DeadLetter
from .statistics import MessageStatistics

if TYPE_CHECKING:
    from .queue import MessageQueue

T = TypeVar("T")


class SyncMessageQueue(Generic[T]):
    """What `queue.sync` is: the same methods, blocking. Refused with Misuse on a loop's thread.

    They commit together with what event loops of the process hand over. Ctrl-C ends a wait as
    cancellation does.
    """

    def __init__(self, queue: MessageQueue[T]) -> None:
        self._queue = queue

    def __enter__(self) -> Self:
        self._queue.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.close()

    def enqueue(
        self,
        data: T,
        *,
        key: str | None = None,
        dedupe: str | None = None,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """As `MessageQueue.enqueue`."""
        store = self._queue.store
        write = store.enqueue([self._queue.new(data, key, dedupe, delay, headers)])
        return store.writer.call(write)[0]

    def enqueue_many(
        self,
        items: Iterable[T],
        *,
        key: str | None = None,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> list[str]:
        """As `MessageQueue.enqueue_many`."""
        store = self._queue.store
        return store.writer.call(store.enqueue(self._queue.all_new(items, key, delay, headers)))

    def statistics(self) -> MessageStatistics:
        """As `MessageQueue.statistics`."""
        store = self._queue.store
        return MessageStatistics(*store.writer.call(store.counts()))

    def dead_letters(self, *, limit: int = 100, after: str | None = None) -> Page[DeadLetter]:
        """As `MessageQueue.dead_letters`."""
        from .queue import page

        start, limit = self._queue.bounds(limit, after)
        store = self._queue.store
        found = store.writer.call(store.dead(start, limit + 1))
        return page(found, limit)

    def iter_dead_letters(self, *, page_size: int = 100) -> Iterator[DeadLetter]:
        """As `MessageQueue.iter_dead_letters`."""
        after = None
        while True:
            found = self.dead_letters(limit=page_size, after=after)
            yield from found.items
            if found.next is None:
                return
            after = found.next

    def redrive(self, ids: Sequence[str]) -> int:
        """As `MessageQueue.redrive`."""
        store = self._queue.store
        return store.writer.call(store.redrive(self._queue.checked_ids(ids)))
