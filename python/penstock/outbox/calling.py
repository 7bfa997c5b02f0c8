"""Publishing by an async function: one event of a key at a time, many keys side by side."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
from anyio.abc import TaskGroup

from penstock._durable.cancellation import is_cancelled_from_outside
from penstock._durable.headers import CONTENT_TYPE, JSON, read_headers
from penstock.errors import Misuse
from penstock.queues import Queue

from .event import Event
from .lanes import Lane, Lanes
from .publisher import Settled, Tally, publishing
from .store import Answer, Burial, Refill, Stored

if TYPE_CHECKING:
    from penstock._durable.codec import Codec
    from penstock._durable.leases import Lease
    from penstock.resilience import Retry

Publish: TypeAlias = Callable[[Event[Any]], Awaitable[object]]

_log = logging.getLogger("penstock.outbox")

_TURN = 16  # events of one key in a row, while others wait


class Calls:
    """How to call: the same for all incarnations of a relay."""

    def __init__(
        self,
        name: str,
        fn: Publish,
        codec: Codec,
        retry: Retry,
        on_poison: Literal["block", "dead_letter"],
        concurrency: int,
        random: Callable[[], float],
    ) -> None:
        if not callable(fn) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise Misuse(
                f"relay of {name}: to={fn!r} is no function to await and no message queue",
                hint="give an async function of one event, or a MessageQueue",
            )
        self.name = name
        self.fn = fn
        self.codec = codec
        self.retry = retry
        self.on_poison = on_poison
        self.concurrency = concurrency
        self.random = random


class CallingPublisher:
    """See `Publisher`. A key whose event fails waits; the others go on."""

    def __init__(
        self,
        calls: Calls,
        tally: Tally,
        settled: Settled,
        wake: Callable[[], None],
        max_items: int,
        max_bytes: int,
    ) -> None:
        self.failure: Exception | None = None
        self.under_way = 0
        self._calls = calls
        self._tally = tally
        self._wake = wake
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lanes = Lanes()
        self._ready: Queue[Lane] = Queue()
        self._settled = settled
        self._is_stopping = False
        self._fence = 0
        self._lease: Lease | None = None
        self._group: TaskGroup | None = None

    # -- towards the relay -------------------------------------------------------------------

    @property
    def blocked(self) -> int:
        return self._lanes.blocked

    @property
    def cursor(self) -> int:
        return self._lanes.cursor

    def room(self) -> tuple[int, int]:
        lanes = self._lanes
        items, size = self._max_items - lanes.held, self._max_bytes - lanes.held_bytes
        return (items if size > 0 else 0), max(0, size)

    def refills(self) -> list[Refill]:
        return self._lanes.refills(self._max_items - self._lanes.held)

    def take(self, refills: Sequence[Refill], answer: Answer) -> None:
        self._fence = answer.fence
        for refill, found in zip(refills, answer.refilled, strict=True):
            self._begin(self._lanes.refilled(refill, found))
        for event in answer.found.events:
            self._begin(self._lanes.read(event))

    def _begin(self, lane: Lane | None) -> None:
        if lane is not None:
            self._ready.put_nowait(lane)

    def stop(self) -> None:
        self._is_stopping = True

    # -- publishing --------------------------------------------------------------------------

    async def run(self, lease: Lease) -> None:
        self._lease = lease
        async with anyio.create_task_group() as group:
            self._group = group
            for _ in range(self._calls.concurrency):
                group.start_soon(self._work, lease)

    async def _work(self, lease: Lease) -> None:
        while True:
            lane = await self._ready.aget()
            for _ in range(_TURN):
                # A lost lease: others may have begun it.
                if self._is_stopping or lease.is_lost or self.failure is not None:
                    return
                self.under_way += 1
                try:
                    has_next = await self._publish_head(lane)
                finally:
                    self.under_way -= 1
                    self._wake()
                if not has_next:
                    break
            else:
                self._ready.put_nowait(lane)

    async def _publish_head(self, lane: Lane) -> bool:
        """Whether the next event of the lane is here, and may be published."""
        stored = lane.head
        try:
            headers, data = self._read(stored)
        except Exception as error:  # noqa: BLE001 (a codec may raise anything)
            # The bytes will not change: no further attempt can mend it.
            lane.attempts = max(lane.attempts, self._calls.retry.attempts - 1)
            return self._failed(lane, f"the payload cannot be decoded: {error}")
        try:
            await self._call(stored, headers, data, lane.attempts + 1)
        except _NotAsync as error:
            self.failure = Misuse(
                f"relay of {self._calls.name}: {self._calls.fn!r} returned {error.args[0]!r}, "
                "nothing to await",
                hint="give an async function; a blocking one through anyio.to_thread.run_sync",
            )
            return False
        except Exception as error:  # noqa: BLE001 (whatever it raises is a failed attempt)
            return self._failed(lane, f"{type(error).__qualname__}: {error}")
        except anyio.get_cancelled_exc_class():
            if is_cancelled_from_outside():
                raise
            # It has awaited what others had cancelled: no failure, and not published either.
            self._later(lane)
            return False
        self._settled.published.append(stored.seq)
        self._tally.count_published([stored])
        return self._lanes.done(lane)

    def _read(self, stored: Stored) -> tuple[Mapping[str, str], Any]:
        headers = read_headers(stored.headers)
        codec = self._calls.codec
        if stored.headers is not None:
            found = headers.get(CONTENT_TYPE, JSON)
            if found != codec.content_type:
                raise ValueError(f"it is {found}, and this outbox decodes {codec.content_type}")
        return headers, codec.decode(stored.payload)

    async def _call(
        self, stored: Stored, headers: Mapping[str, str], data: Any, attempt: int
    ) -> None:
        with publishing(stored, headers) as span:
            if span is not None:
                # Whoever hands the headers on continues with this span.
                headers = {**headers, **span.context.to_headers()}
            event = Event(
                stored.topic,
                stored.key,
                data,
                stored.id,
                headers,
                stored.created_at,
                attempt,
                self._fence,
                self._lease,
            )
            awaitable = self._calls.fn(event)
            if not isinstance(awaitable, Awaitable):
                raise _NotAsync(awaitable)
            await awaitable

    # -- failures ----------------------------------------------------------------------------

    def _failed(self, lane: Lane, reason: str) -> bool:
        calls, stored = self._calls, lane.head
        self._tally.count_failed()
        lane.attempts += 1
        if lane.attempts >= calls.retry.attempts:
            if calls.on_poison == "dead_letter":
                _log.warning(
                    "relay of %s gave up event %s (%s, key %s) after %d attempts: %s",
                    calls.name, stored.id, stored.topic, stored.key, lane.attempts, reason,
                )  # fmt: skip
                self._settled.buried.append(Burial(stored.seq, lane.attempts, reason))
                return self._lanes.done(lane)
            if lane.attempts == calls.retry.attempts:
                _log.warning(
                    "relay of %s: event %s (%s) blocks its key %s after %d attempts, and is tried "
                    "on: %s",
                    calls.name, stored.id, stored.topic, stored.key, lane.attempts, reason,
                )  # fmt: skip
        self._later(lane)
        return False

    def _later(self, lane: Lane) -> None:
        self._lanes.failed(lane)
        pause = self._calls.retry.pause(max(1, lane.attempts), self._calls.random)
        assert self._group is not None, "it runs"
        self._group.start_soon(self._again, lane, pause)

    async def _again(self, lane: Lane, pause: float) -> None:
        await anyio.sleep(pause)
        self._ready.put_nowait(lane)


class _NotAsync(Exception):
    pass
