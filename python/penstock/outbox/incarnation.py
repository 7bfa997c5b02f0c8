"""One incarnation of a relay: from its first look at the outbox to the end of its lease.

Its pump makes one round trip at a time: it writes down what has been published and asks for as much
as there is room for. As long as there is nothing to write down it only reads, so that relays that
wait, or stand by, do not keep the file busy, nor wake each other for ever.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio

from penstock._durable.errors import OutcomeUnknown
from penstock._durable.group_commit import EVERY_COMMIT
from penstock._durable.leases import Lease
from penstock._loops import Place, current_hub
from penstock.errors import EngineError, Misuse

from .publisher import Publisher, Settled, Tally
from .store import Answer, OutboxStore, Refill, Request

_log = logging.getLogger("penstock.outbox")

_PATIENCE = (0.1, 5.0)  # seconds between tries while the store fails, growing
_MEASURE_EVERY = 5.0


class Incarnation:
    """See the module's head. For one loop; `run` is called once."""

    def __init__(
        self,
        name: str,
        store: OutboxStore,
        seconds: float,
        publisher: Publisher,
        settled: Settled,
        tally: Tally,
    ) -> None:
        self.publisher = publisher
        self.fence = 0
        """0: it does not have the outbox, so far or any more."""
        self.is_draining = False
        self._name = name
        self._store = store
        self._lease = Lease(seconds, store.renewal)
        self._settled = settled
        self._tally = tally
        # The pump's sleep. `_asleep` is set before the flags are looked at again, and whoever sets
        # a flag looks at it afterwards: one of them sees the other.
        self._asleep: Place | None = None
        self._look = True
        self._due = math.inf

    async def run(self) -> None:
        """Until all is drained, the lease is lost or the publisher has failed."""
        writer, lease = self._store.writer, self._lease
        writer.keep(lease)
        writer.listen(EVERY_COMMIT, self._announce)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self.publisher.run, lease)
                group.start_soon(self._beat, group.cancel_scope)
                group.start_soon(self._measure)
                await self._pump()
                group.cancel_scope.cancel()
        finally:
            writer.unlisten(EVERY_COMMIT, self._announce)
            writer.forget(lease)
            if lease.is_lost:
                _log.warning("relay of %s lost its lease; another one may go on", self._name)
            with anyio.CancelScope(shield=True):
                await self._retire()
            self.fence = 0

    async def _beat(self, scope: anyio.CancelScope) -> None:
        lease = self._lease
        while not lease.is_lost:
            lease.beat()
            await anyio.sleep(lease.beat_every)
        scope.cancel()

    async def _measure(self) -> None:
        while True:
            await anyio.sleep(_MEASURE_EVERY)
            if self.fence:
                with suppress(EngineError, Misuse):  # The pump meets it, and tells it.
                    counted = await self._store.writer.run(self._store.counts())
                    self._tally.backlog.set(counted.backlog)
                    self._tally.blocked.set(self.publisher.blocked)

    async def _retire(self) -> None:
        """Settle and give the outbox up, so that the next one need not wait for the lease."""
        settled = self._settled
        published = len(settled.published)
        try:
            done = await self._store.writer.run(
                self._store.retire(self._request(0, 0, ())), stands=True
            )
        except (EngineError, Misuse) as error:
            # The lease will be over by itself.
            _log.warning("relay of %s could not give it up: %s", self._name, error)
        else:
            if done:
                del settled.published[:published]
        # They are given up by whoever has the outbox next; but what is published is published.
        settled.buried.clear()

    # -- the pump ----------------------------------------------------------------------------

    async def _pump(self) -> None:
        lease, publisher = self._lease, self.publisher
        pause, longest = _PATIENCE
        while not lease.is_lost and publisher.failure is None:
            if self.is_draining:
                publisher.stop()
            want, room, refills = self._wanted()
            if not want and not refills and not self._has_settled:
                if self.is_draining and not publisher.under_way:
                    return
                await self._sleep()
                continue
            if want:
                self._look = False
                self._due = math.inf
            try:
                answer = await self._round_trip(want, room, refills)
            except OutcomeUnknown:
                return  # Perhaps it has the outbox and does not know it: begin anew.
            except (EngineError, Misuse) as error:
                # Misuse: a connection of this process keeps the file locked, for now.
                if pause == _PATIENCE[0]:
                    _log.warning("relay of %s goes on trying: %s", self._name, error)
                self._look = True
                if not self.fence:
                    self._lease.held = 0
                await anyio.sleep(pause)
                pause = min(longest, pause * 2)
                continue
            pause = _PATIENCE[0]
            self._use(answer, refills)

    def _use(self, answer: Answer, refills: Sequence[Refill]) -> None:
        if answer.fence:
            self.fence = answer.fence
            self._lease.held = 1
            self._look |= answer.found.is_cut
            self.publisher.take(refills, answer)
        elif self.fence:
            self._lease.lose()
        else:
            self._lease.held = 0
            self._due = time.monotonic() + answer.wait

    @property
    def _has_settled(self) -> bool:
        # What an earlier incarnation has published can wait until the outbox is this one's.
        return bool(self.fence and (self._settled.published or self._settled.buried))

    def _wanted(self) -> tuple[int, int, Sequence[Refill]]:
        """How many events, how many bytes of them, and which of single keys."""
        if self.is_draining:
            return 0, 0, ()
        refills = self.publisher.refills()
        items, room = self.publisher.room()
        if not (self._look or time.monotonic() >= self._due):
            items = 0
        return items, room, refills

    async def _round_trip(self, want: int, room: int, refills: Sequence[Refill]) -> Answer:
        writer, store, settled = self._store.writer, self._store, self._settled
        if not self._has_settled:
            answer = await writer.run(store.look(self._request(want, room, refills)))
            if self.fence or answer.wait:
                return answer
            # Nobody has it.
        published, buried = len(settled.published), len(settled.buried)
        sent = time.monotonic()
        self._lease.claiming(sent, 0 if self._lease.held else 1)
        # If this fails, it may have been written: removing once more what is gone changes nothing.
        answer = await writer.run(store.exchange(self._request(want, room, refills)))
        if answer.fence:
            self._lease.extended(sent)
            del settled.published[:published]
            del settled.buried[:buried]
        return answer

    def _request(self, want: int, room: int, refills: Sequence[Refill]) -> Request:
        return Request(
            self._lease.owner,
            self.fence,
            self._lease.seconds,
            tuple(self._settled.published),
            tuple(self._settled.buried),
            self.publisher.cursor,
            want,
            room,
            refills,
        )

    # -- sleep -------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        self._asleep = place = current_hub().place()
        try:
            if self._has_settled or self.publisher.failure is not None:
                return
            if self.is_draining:
                if self.publisher.under_way:
                    await place.wait()
                return
            has_room = self.publisher.room()[0] > 0
            if self.publisher.refills() or (has_room and self._look):
                return
            left = self._due - time.monotonic() if has_room else math.inf
            await place.wait(None if math.isinf(left) else max(0.0, left))
        finally:
            self._asleep = None

    def _announce(self) -> None:
        """Something was committed. Called by the writer's thread."""
        self._look = True
        self.wake()

    def wake(self) -> None:
        """Have the pump look around. Any thread."""
        place = self._asleep
        if place is not None:
            place.wake()
