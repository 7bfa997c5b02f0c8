"""Publishing into a message queue: whatever has gathered, in one write of the queue's store."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio

from penstock._durable.forwarding import Forwarded, Forwards
from penstock._durable.headers import TRACEPARENT, read_headers
from penstock.errors import EngineError, Misuse
from penstock.queues import Queue

from .publisher import Settled, Tally, span_of
from .store import Answer, Refill, Stored

if TYPE_CHECKING:
    from penstock._durable.leases import Lease
    from penstock.tracing import Span

TOPIC = "topic"
"""The header that tells a message's event by its topic."""

_log = logging.getLogger("penstock.outbox")

_PATIENCE = (0.1, 5.0)  # seconds between tries while the target's store fails, growing


class HandingPublisher:
    """See `Publisher`. Order needs no care: a batch is one write, in the order it was read."""

    failure: Exception | None = None

    def __init__(
        self,
        name: str,
        target: Forwards,
        tally: Tally,
        settled: Settled,
        wake: Callable[[], None],
        max_items: int,
        max_bytes: int,
    ) -> None:
        self.under_way = 0
        self.blocked = 0
        self.cursor = 0
        self._name = name
        self._target = target
        self._tally = tally
        self._wake = wake
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._held = 0
        self._held_bytes = 0
        self._pending: Queue[Stored] = Queue()
        self._settled = settled
        self._is_stopping = False
        self._untraced: dict[str, str] = {}
        """Written headers by topic, where there is nothing else to write."""

    def room(self) -> tuple[int, int]:
        items, size = self._max_items - self._held, self._max_bytes - self._held_bytes
        return (items if size > 0 else 0), max(0, size)

    def refills(self) -> list[Refill]:
        return []

    def take(self, refills: Sequence[Refill], answer: Answer) -> None:
        del refills
        events = answer.found.events
        if events:
            self.cursor = events[-1].seq
            self._held += len(events)
            self._held_bytes += sum(len(each.payload) for each in events)
            self._pending.put_many(events)

    def stop(self) -> None:
        self._is_stopping = True

    async def run(self, lease: Lease) -> None:
        while True:
            batch = await self._pending.aget_many(self._max_items)
            if self._is_stopping or lease.is_lost:
                return
            self.under_way = len(batch)
            try:
                if await self._hand_over(batch):
                    self._settled.published += [event.seq for event in batch]
                    self._tally.count_published(batch)
            finally:
                self._held -= len(batch)
                self._held_bytes -= sum(len(each.payload) for each in batch)
                self.under_way = self.blocked = 0
                self._wake()

    async def _hand_over(self, batch: Sequence[Stored]) -> bool:
        """Again and again until it is written; False if it is to stop before."""
        pause, longest = _PATIENCE
        while True:
            try:
                await self._forward(batch)
            except (EngineError, Misuse) as error:
                # Misuse: a connection of this process keeps the file locked, for now.
                self._tally.count_failed()
                if not self.blocked:
                    _log.warning("relay of %s goes on trying: %s", self._name, error)
                self.blocked = len(batch)
            else:
                return True
            if self._is_stopping:
                return False
            await anyio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _forward(self, batch: Sequence[Stored]) -> None:
        spans: list[Span] = []
        try:
            await self._target.forward([self._forwarded(event, spans) for event in batch])
        except BaseException as error:
            for span in spans:
                span.record_exception(error)
            raise
        finally:
            for span in spans:
                span.end()

    def _forwarded(self, event: Stored, spans: list[Span]) -> Forwarded:
        return Forwarded(event.id, event.key, self._headers(event, spans), event.payload)

    def _headers(self, event: Stored, spans: list[Span]) -> str:
        if event.headers is None:
            written = self._untraced.get(event.topic)
            if written is None:
                written = json.dumps({TOPIC: event.topic}, ensure_ascii=False)
                if len(self._untraced) < 1000:
                    self._untraced[event.topic] = written
            return written
        headers = {TOPIC: event.topic, **read_headers(event.headers)}
        if TRACEPARENT in headers:
            span = span_of(event, headers)
            spans.append(span)
            headers.update(span.context.to_headers())
        return json.dumps(headers, ensure_ascii=False, separators=(",", ":"))
