"""`Relay`: publishes what was committed to an outbox.

All it does belongs to one incarnation, its lease and its fence. If the lease is lost, or anything
else ends the incarnation, what is under way is cancelled and a new one begins, which may
find that another relay has taken over.
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, NoReturn, TypeVar

from penstock._durable.background import Background
from penstock._durable.engines import Address
from penstock._durable.forwarding import Forwards
from penstock._durable.pages import Page
from penstock.errors import Closed, Misuse
from penstock.resilience import Retry

from .calling import CallingPublisher, Calls
from .dead import DeadEvent, bounds, page
from .event import Event
from .handing import HandingPublisher
from .incarnation import Incarnation
from .outbox import Outbox
from .publisher import Publisher, Settled, Tally, wall_clock
from .statistics import RelayStatistics
from .store import OutboxStore

__all__ = ("Relay",)

T = TypeVar("T")

_RETRY = Retry(attempts=5, delay=0.2, max_delay=60.0)


class Relay(Background, Generic[T]):
    """Publishes the events of an outbox, at least once, in order for each key.

    Run it wherever it is convenient: in the service that writes the events, in a process of its
    own, in all of them. One at a time works on the outbox; the others stand by and take over
    when it ends, or when its lease is over because it has died.

    Args:
        outbox: whose events.
        source: the database's URL: `sqlite:///trips.db`, `sqlite:////var/lib/app/trips.db`.
        to: a `MessageQueue`, in the same file or another one; or an async function of an
            `Event`, which has published it when it returns.
        concurrency: of a function: events of different keys that are published side by side.
        retry: of a function: the pauses after attempts that raised, and how many attempts there
            are before `on_poison`. Attempts are counted anew by each relay that takes the outbox.
        on_poison: "block": an event that fails on and on holds up its own key, is tried on with
            the longest pause, and told in one warning, in `statistics()` and in the metrics.
            "dead_letter": it is given up, kept with the reason, and its key goes on; `redrive`
            puts it back, behind what its key has by then.
        lease: seconds after which a relay that shows no life is taken over.
        max_items, max_bytes: how much of the outbox is held in memory.
        clock, random: for tests: seconds since 1970 instead of the database's clock; 0 to 1 for
            the jitter.

    A part of a Service: `async with relay:`, `start` and `drain`; or `run()` in a task of your
    own. It opens source and target by itself, and makes its tables. Raises Misuse for arguments
    that cannot work.

    A message queue holds each event once, by its id, also when a relay died between publishing and
    writing that down, as long as it is taken over within the queue's `dedupe_window`. A function
    may be called again for what it has published: `event.id` is the key to notice.

    Cancellation loses nothing: what was not written down is published again. Cost: a commit for
    what gathers while the last one ran.

    """

    def __init__(
        self,
        outbox: Outbox[T],
        source: str,
        to: Forwards | Callable[[Event[T]], Awaitable[object]],
        *,
        concurrency: int = 16,
        retry: Retry = _RETRY,
        on_poison: Literal["block", "dead_letter"] = "block",
        lease: float = 10.0,
        max_items: int = 1024,
        max_bytes: int = 16 << 20,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__()
        if not isinstance(outbox, Outbox):
            raise Misuse(f"a relay's outbox is {outbox!r}", hint='Relay(Outbox("orders"), …)')
        self.name = f"relay of {outbox.name}"
        self._outbox = outbox
        self._address = Address(source)
        if not isinstance(retry, Retry):
            self._refuse(f"retry={retry!r} is no Retry", "retry=Retry(attempts=5)")
        if on_poison not in {"block", "dead_letter"}:
            self._refuse(f"on_poison={on_poison!r}", 'give "block" or "dead_letter"')
        if not isinstance(lease, (int, float)) or not 0 < lease < math.inf:
            self._refuse(f"lease={lease!r} is no time", "give seconds, more than 0")
        self._lease = float(lease)
        self._max_items = self._count("max_items", max_items, 100_000)
        self._max_bytes = self._count("max_bytes", max_bytes, 1 << 40)
        self._concurrency = self._count("concurrency", concurrency, 10_000)
        self._target: Forwards | None = None
        self._calls: Calls | None = None
        if isinstance(to, Forwards):
            self._target = to
            if to.codec.content_type != outbox.codec.content_type:
                self._refuse(
                    f"it writes {outbox.codec.content_type}, and {to!r} reads "
                    f"{to.codec.content_type}",
                    "give both the same codec",
                )
        else:
            self._calls = Calls(
                outbox.name, to, outbox.codec, retry, on_poison, self._concurrency, random
            )
        self._clock = clock
        self._tally = Tally(outbox.name, wall_clock if clock is None else clock)
        self._store: OutboxStore | None = None
        self._users = 0
        self._incarnation: Incarnation | None = None
        # Outlives an incarnation: what is published is published, and written down by the next one.
        self._settled = Settled()

    def __repr__(self) -> str:
        return f"<Relay of {self._outbox.name!r} in {self._address.url}>"

    # -- lifetime ----------------------------------------------------------------------------

    def _open(self) -> None:
        if not self._users:
            options = {"outbox": self._outbox.name, "clock": self._clock}
            store = self._address.open("outbox", **options)
            try:
                if self._target is not None:
                    self._target.open()
            except BaseException:
                store.close()
                raise
            self._store = store
        self._users += 1

    def _close(self) -> None:
        self._users -= 1
        if self._users:
            return
        store, self._store = self._store, None
        assert store is not None, "it was opened"
        try:
            if self._target is not None:
                self._target.close()
        finally:
            store.close()

    async def _run(self) -> None:
        while not self._is_draining:
            await self._incarnate(self.store)

    async def _incarnate(self, store: OutboxStore) -> None:
        publisher = self._new_publisher()
        of = (publisher, self._settled, self._tally)
        self._incarnation = Incarnation(self._outbox.name, store, self._lease, *of)
        try:
            await self._incarnation.run()
        finally:
            self._incarnation = None
        if publisher.failure is not None:
            raise publisher.failure

    def _new_publisher(self) -> Publisher:
        of = (self._tally, self._settled, self._wake, self._max_items, self._max_bytes)
        if self._target is not None:
            return HandingPublisher(self._outbox.name, self._target, *of)
        assert self._calls is not None, "there is one or the other"
        return CallingPublisher(self._calls, *of)

    def _wake(self) -> None:
        incarnation = self._incarnation
        if incarnation is not None:
            incarnation.is_draining = self._is_draining
            incarnation.wake()

    @property
    def store(self) -> OutboxStore:
        """The open store. Raises Closed if there is none."""
        if self._store is None:
            raise Closed(f"{self!r} does not run", hint="use it inside `async with relay:`")
        return self._store

    # -- looking -----------------------------------------------------------------------------

    @property
    def _blocked(self) -> int:
        return 0 if self._incarnation is None else self._incarnation.publisher.blocked

    @property
    def is_active(self) -> bool:
        """Whether this relay is the one at work; another one may be, or nobody yet."""
        return self._incarnation is not None and self._incarnation.fence > 0

    async def statistics(self) -> RelayStatistics:
        """What waits, and what was done. While it runs; cost grows with the backlog."""
        counted = await self.store.writer.run(self.store.counts())
        return RelayStatistics(
            *counted,
            published=self._tally.published,
            failed=self._tally.failed,
            blocked=self._blocked,
            is_active=self.is_active,
        )

    async def dead_letters(self, *, limit: int = 100, after: str | None = None) -> Page[DeadEvent]:
        """A page of the events that were given up, the oldest first. While it runs.

        `after` is the `next` of the page before.
        """
        start, limit = bounds(limit, after, repr(self))
        found = await self.store.writer.run(self.store.dead(start, limit + 1))
        return page(found, limit)

    async def redrive(self, ids: Sequence[str]) -> int:
        """Put dead events back into the outbox, in this order, behind what is there; how many.

        Ids that are no dead events are left out. They keep their id. While it runs.
        """
        if isinstance(ids, str) or not all(isinstance(each, str) for each in ids):
            self._refuse(f"ids={ids!r} are no ids", "redrive(page.ids)")
        return await self.store.writer.run(self.store.redrive(list(ids)))

    # -- arguments ---------------------------------------------------------------------------

    def _count(self, what: str, value: Any, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self._refuse(f"{what}={value!r} is no number of them", f"give 1 to {most}")
        return int(value)

    def _refuse(self, complaint: str, hint: str) -> NoReturn:
        raise Misuse(f"{self.name}: {complaint}", hint=hint)
