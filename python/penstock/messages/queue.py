"""`MessageQueue`: a named queue in a store, of messages of one type."""

from __future__ import annotations

import math
import random as _random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

import anyio
import anyio.to_thread

from penstock._durable.codec import Codec, JsonCodec
from penstock._durable.engines import Address
from penstock._durable.forwarding import Forwarded
from penstock._durable.headers import checked_headers, recorded_trace, written_headers
from penstock._durable.ids import new_id
from penstock._durable.pages import Page
from penstock.errors import Closed, Misuse
from penstock.resilience import Retry

from .consumer import Consumer
from .letters import DeadLetter, letter
from .message import Message
from .statistics import MessageStatistics
from .store import Dead, MessageStore, New
from .sync import SyncMessageQueue

T = TypeVar("T")

_LARGEST_PAGE = 10_000
_RETRY = Retry(attempts=4, delay=1.0, max_delay=300.0)


class MessageQueue(Generic[T]):
    """A durable work queue: what is enqueued is handled at least once, whoever dies.

    Use it for work that must not be lost and may happen later or elsewhere: mails, webhooks,
    imports. Between the threads and loops of one process, and for what may go with it,
    `penstock.Queue` is a thousand times faster.

    A message stays in the store until its handler has returned. If the handler raises, it is
    tried again after a pause, and after the last attempt it is kept as a dead letter with the
    reason. If the consumer's process dies, another consumer takes over once the lease is over; the
    attempt counts, so that a message that kills its consumers ends as a dead letter, too. Handlers
    must therefore bear to be run twice: `message.id` is a key for that.

    Args:
        name: of the queue; a store holds any number of them.
        url: `memory://` (for this object alone; `memory://NAME` for all of the process),
            `sqlite:///relative.db`, `sqlite:////absolute.db`.
        type: what payloads are decoded to: a dataclass, a msgspec Struct, `list[int]`, …; plain
            JSON data without it.
        retry: attempts and pauses; by default 4 attempts, from 1 s to 5 minutes apart.
        dedupe_window: seconds for which a `dedupe` value is remembered.
        lease: seconds after which a consumer that shows no life is taken over.
        codec: instead of JSON.
        clock, random: for tests: seconds since 1970 instead of the store's clock; 0 to 1 for
            the jitter.

    Nothing is opened before `async with queue:` (or `with queue.sync:`, or a consumer of it that
    runs). Any thread and any number of loops may use it then, in the process that opened it; not a
    forked child. Raises Misuse for arguments that cannot work.

    Cost on SQLite: an enqueue waits for one fsync, which all that happens meanwhile shares.

    Example:
        >>> import anyio
        >>> async def main() -> None:
        ...     async with MessageQueue[str]("mails", "memory://", type=str) as queue:
        ...         await queue.enqueue("hello")
        ...         print((await queue.statistics()).ready)
        >>> anyio.run(main)
        1

    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        type: type[T] | None = None,
        retry: Retry = _RETRY,
        dedupe_window: float = 3600.0,
        lease: float = 10.0,
        codec: Codec | None = None,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if not isinstance(name, str) or not name or len(name) > 200:
            raise Misuse(f"a message queue's name is {name!r}", hint="give 1 to 200 characters")
        self.name = name
        self._address = Address(url)
        if not isinstance(retry, Retry):
            self._refuse(f"retry={retry!r} is no Retry", "retry=Retry(attempts=4)")
        if codec is not None and type is not None:
            self._refuse("type= is for JSON, codec= is instead of it", "give one of them")
        self.retry = retry
        self._dedupe_window = self._seconds("dedupe_window", dedupe_window, above=True)
        self.lease = self._seconds("lease", lease, above=True)
        self.codec: Codec = JsonCodec(type) if codec is None else codec
        self.clock = clock
        self.random = random
        self._store: MessageStore | None = None
        self._users = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MessageQueue {self.name!r} in {self._address.url}>"

    @property
    def url(self) -> str:
        return self._address.url

    # -- lifetime ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    def open(self) -> None:
        """Open the store; as entering the block does. Blocks. Each open needs its `close`.

        Raises EngineError if the store cannot be used.
        """
        with self._lock:
            if self._store is None:
                self._store = self._address.open(
                    "messages",
                    queue=self.name,
                    dedupe_window=self._dedupe_window,
                    clock=self.clock,
                )
            self._users += 1

    def close(self) -> None:
        """Undo one `open`; the last one waits until what was handed over is committed. Blocks."""
        with self._lock:
            if not self._users:
                return
            self._users -= 1
            if self._users:
                return
            store, self._store = self._store, None
        assert store is not None
        store.close()

    @property
    def store(self) -> MessageStore:
        """The open store. Raises Closed if there is none."""
        store = self._store
        if store is None:
            raise Closed(
                f"message queue {self.name!r} is not open",
                hint="use it inside `async with queue:` or `with queue.sync:`",
            )
        return store

    @property
    def sync(self) -> SyncMessageQueue[T]:
        """The same queue with blocking methods, for threads without an event loop."""
        return SyncMessageQueue(self)

    # -- producing ---------------------------------------------------------------------------

    async def enqueue(
        self,
        data: T,
        *,
        key: str | None = None,
        dedupe: str | None = None,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Add a message; when this returns it is committed. Returns its id.

        Args:
            key: messages of one key are handled one at a time, in the order they were enqueued; a
                message that waits for its next attempt lets those behind it wait, too.
            dedupe: within the queue's `dedupe_window` only the first message with this value
                is added; for the others the id of the first one is returned.
            delay: seconds before it may be handled.
            headers: text by text, handed to the handler as they are. The current span's
                `traceparent` goes along, unless there is one in them.

        Cancellation: either nothing was added, or, if the commit was under way, it was.
        Raises Misuse for arguments or data that cannot be stored, EngineError if the store fails.

        """
        write = self.store.enqueue([self.new(data, key, dedupe, delay, headers)])
        return (await self.store.writer.run(write))[0]

    async def enqueue_many(
        self,
        items: Iterable[T],
        *,
        key: str | None = None,
        delay: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Add all items in one transaction: all of them or none. Returns their ids, in order.

        Arguments, cancellation and errors as for `enqueue`. All items are in memory at once.
        """
        write = self.store.enqueue(self.all_new(items, key, delay, headers))
        return await self.store.writer.run(write)

    async def forward(self, messages: Sequence[Forwarded]) -> None:
        """Add messages that another room has encoded, in one transaction; each id once.

        The id of each is its dedupe value as well: one that was added within `dedupe_window`, even
        if it has been handled since, is not added again. For a `Relay`. Cancellation and errors as
        for `enqueue`.
        """
        new = [
            New(each.id, each.key, 0.0, each.id, each.headers, each.payload) for each in messages
        ]
        await self.store.writer.run(self.store.enqueue(new))

    def new(
        self,
        data: T,
        key: str | None,
        dedupe: str | None,
        delay: float,
        headers: Mapping[str, str] | None,
    ) -> New:
        """What `enqueue` hands to the store, checked."""
        if key is not None:
            self._text("key", key)
        if dedupe is not None:
            self._text("dedupe", dedupe)
        if delay:
            self._seconds("delay", delay)
        try:
            payload = self.codec.encode(data)
        except (TypeError, ValueError) as error:
            raise Misuse(
                f"message queue {self.name!r}: a {type(data).__qualname__} cannot be encoded: "
                f"{error}",
                hint="give plain data or a dataclass of it, or a codec= that knows the type",
            ) from error
        checked_headers(headers, f"message queue {self.name!r}")
        written = written_headers(headers, self.codec.content_type, recorded_trace())
        return New(new_id(), key, delay, dedupe, written, payload)

    def all_new(
        self,
        items: Iterable[T],
        key: str | None,
        delay: float,
        headers: Mapping[str, str] | None,
    ) -> list[New]:
        return [self.new(data, key, None, delay, headers) for data in items]

    # -- consuming ---------------------------------------------------------------------------

    def consumer(
        self,
        handler: Callable[[Message[T]], Awaitable[object]],
        *,
        concurrency: int = 8,
        prefetch: int | None = None,
    ) -> Consumer[T]:
        """A consumer that can be started and drained, as a Service does. See `consume`."""
        return Consumer(self, handler, concurrency=concurrency, prefetch=prefetch)

    async def consume(
        self,
        handler: Callable[[Message[T]], Awaitable[object]],
        *,
        concurrency: int = 8,
        prefetch: int | None = None,
    ) -> NoReturn:
        """Handle messages until cancelled.

        Args:
            handler: an async function of a `Message`. Returning acknowledges; `raise
                Reject(reason)` gives the message up, `raise RetryLater(delay)` puts it off; any
                other exception is a failed attempt.
            concurrency: messages handled at a time, by this call.
            prefetch: messages claimed beyond that, so that none has to be waited for; as many
                as `concurrency` by default. More is faster for short handlers, and unfair to
                other processes.

        Cancellation: handlers under way are cancelled, and what they had goes back at once, with no
        attempt counted. If the lease is lost (the process was stopped, the loop was blocked) the
        handlers are cancelled, too, and consuming goes on with what there is then.

        While the store fails with an EngineError it is tried again, with a growing pause; each
        such streak is logged once.

        """
        consumer = self.consumer(handler, concurrency=concurrency, prefetch=prefetch)
        await consumer.run()
        raise AssertionError("nobody else can drain it")

    # -- looking -----------------------------------------------------------------------------

    async def statistics(self) -> MessageStatistics:
        """How many messages are in which state. Cost grows with the queue: about 1 ms in 10,000."""
        return MessageStatistics(*await self.store.writer.run(self.store.counts()))

    async def dead_letters(self, *, limit: int = 100, after: str | None = None) -> Page[DeadLetter]:
        """A page of the messages that were given up, the oldest first.

        `after` is the `next` of the page before.
        """
        start, limit = self.bounds(limit, after)
        found = await self.store.writer.run(self.store.dead(start, limit + 1))
        return page(found, limit)

    async def iter_dead_letters(self, *, page_size: int = 100) -> AsyncIterator[DeadLetter]:
        """All dead letters, page by page; those that die meanwhile come at the end."""
        after = None
        while True:
            found = await self.dead_letters(limit=page_size, after=after)
            for each in found.items:
                yield each
            if found.next is None:
                return
            after = found.next

    async def redrive(self, ids: Sequence[str]) -> int:
        """Put dead letters back into the queue, in this order, as if they were new; how many.

        Ids that are no dead letters are left out. They keep their id, and start with attempt 1.
        """
        return await self.store.writer.run(self.store.redrive(self.checked_ids(ids)))

    # -- arguments ---------------------------------------------------------------------------

    def bounds(self, limit: int, after: str | None) -> tuple[int, int]:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
            self._refuse(f"limit={limit!r}", f"give 1 to {_LARGEST_PAGE}, and go on with after=")
        try:
            return (0 if after is None else int(after)), limit
        except (TypeError, ValueError):
            self._refuse(f"after={after!r} is not the `next` of a page", "after=page.next")

    def checked_ids(self, ids: Sequence[str]) -> list[str]:
        if isinstance(ids, str):
            self._refuse(f"ids={ids!r} is one string", f"redrive([{ids!r}])")
        found = list(ids)
        for each in found:
            self._text("an id", each)
        return found

    def _text(self, what: str, value: str) -> None:
        if not isinstance(value, str) or not value:
            self._refuse(f"{what} is {value!r}", "give a string that is not empty")

    def _seconds(self, what: str, value: float, *, above: bool = False) -> float:
        fine = isinstance(value, (int, float)) and 0 <= value < math.inf and (value or not above)
        if not fine:
            least = "more than 0" if above else "0 or more"
            self._refuse(f"{what}={value!r} is no time to wait", f"give seconds, {least}")
        return float(value)

    def _refuse(self, complaint: str, hint: str) -> NoReturn:
        raise Misuse(f"message queue {self.name!r}: {complaint}", hint=hint)


def page(rows: Sequence[Dead], limit: int) -> Page[DeadLetter]:
    """A page of at most `limit`, of rows that were asked for one beyond it."""
    letters = tuple(letter(row) for row in rows[:limit])
    following = str(rows[limit - 1].seq) if len(rows) > limit else None
    return Page(letters, tuple(each.id for each in letters), following)
