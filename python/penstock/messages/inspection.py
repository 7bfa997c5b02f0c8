"""The queues of a store as an operator sees them: by name, without their types, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from penstock._durable.engines import Address
from penstock._durable.pages import Page
from penstock.errors import Misuse

from .letters import DeadLetter
from .queue import page
from .statistics import MessageStatistics
from .store import MessageStore

__all__ = ("Inspected", "inspected")


class Inspected:
    """One queue, to look at and to redrive."""

    def __init__(self, name: str, store: MessageStore) -> None:
        self.name = name
        self._store = store

    def statistics(self) -> MessageStatistics:
        return MessageStatistics(*self._store.writer.call(self._store.counts()))

    def dead_letters(self, *, limit: int, after: str | None) -> Page[DeadLetter]:
        try:
            start = 0 if after is None else int(after)
        except ValueError:
            raise Misuse(
                f"after={after!r} is not the `next` of a page", hint="go on where a page ended"
            ) from None
        found = self._store.writer.call(self._store.dead(start, limit + 1))
        return page(found, limit)

    def redrive(self, ids: Sequence[str]) -> int:
        return self._store.writer.call(self._store.redrive(ids))


@contextmanager
def inspected(url: str, name: str | None = None) -> Iterator[list[Inspected]]:
    """The queue called `name`, or all queues, of a store that is there already.

    Raises EngineError if the store is not there, Misuse if it has no such queue.
    """
    address = Address(url)
    if address.path is None:
        raise Misuse(f"{url}: memory can only be seen by its own process", hint="give a file's URL")
    with ExitStack() as stack:
        whole: MessageStore = address.open("messages", create=False)
        stack.callback(whole.close)
        names = whole.writer.call(whole.names())
        if name is not None and name not in names:
            known = ", ".join(names) or "none"
            raise Misuse(f"{url} has no message queue {name!r}", hint=f"there are: {known}")
        queues = []
        for each in names if name is None else [name]:
            store: MessageStore = address.open("messages", create=False, queue=each)
            stack.callback(store.close)
            queues.append(Inspected(each, store))
        yield queues
