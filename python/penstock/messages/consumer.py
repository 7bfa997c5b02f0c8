"""`Consumer`: claims messages, has them handled, and settles what was handled.

Its pump makes one round trip at a time: it hands over what has been settled and asks for as much as
there is room for. What finishes meanwhile goes with the next one, so batches form by themselves.

All claims belong to one incarnation and its lease. If the lease is lost, or anything else ends
the incarnation, its handlers are cancelled, all it still held is given back in one write, and a new
one begins. That write also frees claims whose answer never arrived, because it goes by owner.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from penstock import metrics
from penstock._durable.background import Background
from penstock._durable.errors import OutcomeUnknown
from penstock._durable.leases import Lease
from penstock._loops import Place, current_hub
from penstock.errors import EngineError, Misuse

from .crew import Crew
from .handling import Handling
from .message import Message
from .store import Action, Claimed, Exchange, Exchanged, MessageStore, Settlement

if TYPE_CHECKING:
    from .queue import MessageQueue

T = TypeVar("T")

_log = logging.getLogger("penstock.messages")

_settled = metrics.counter(
    "penstock_messages_settled", "messages handled, by what became of them", ("queue", "action")
)
_stale = metrics.counter(
    "penstock_messages_stale",
    "settlements that came after the lease and changed nothing",
    ("queue",),
)
_lost = metrics.counter("penstock_messages_leases_lost", "leases that were lost", ("queue",))
_seconds = metrics.histogram("penstock_messages_seconds", "time in the handler", ("queue",))

_MOST = 10_000
_PATIENCE = (0.1, 5.0)  # seconds between tries while the store fails, growing


class Consumer(Background, Generic[T]):
    """One consumer of a queue, as an object that starts and drains.

    `async with consumer:` or `start()` and `drain()` for a Service; `run()` for a task of your own.
    For one loop; make it with `MessageQueue.consumer`. It opens the queue by itself.
    """

    def __init__(
        self,
        queue: MessageQueue[T],
        handler: Callable[[Message[T]], Awaitable[object]],
        *,
        concurrency: int = 8,
        prefetch: int | None = None,
    ) -> None:
        super().__init__()
        self.name = f"consumer of {queue.name}"
        self._queue = queue
        self._handling = Handling(queue, handler)
        self._concurrency = self._count("concurrency", concurrency, least=1)
        if prefetch is None:
            prefetch = concurrency
        self._capacity = concurrency + self._count("prefetch", prefetch, least=0)
        # Of one incarnation.
        self._crew: Crew[Claimed] = Crew()
        self._done: list[Settlement] = []
        self._failure: Exception | None = None
        # The pump's sleep. `_asleep` is set before the flags are looked at again, and whoever sets
        # a flag looks at it afterwards: one of them sees the other.
        self._asleep: Place | None = None
        self._look = True
        self._due = math.inf
        self._settled = {
            action: _settled.bind(queue=queue.name, action=action.value) for action in Action
        }
        self._stale = _stale.bind(queue=queue.name)
        self._lost = _lost.bind(queue=queue.name)
        self._seconds = _seconds.bind(queue=queue.name)

    def __repr__(self) -> str:
        return f"<Consumer of {self._queue!r}: {self._concurrency} at a time>"

    # -- lifetime ----------------------------------------------------------------------------

    def _open(self) -> None:
        self._queue.open()

    def _close(self) -> None:
        self._queue.close()

    def stop_intake(self) -> None:
        """Claim nothing more, and give back what has not begun; handlers under way go on.

        What a Service calls first when it ends; `drain` waits for the handlers. On the loop's
        thread; any number of times.
        """
        self._is_draining = True
        self._wake()

    async def _run(self) -> None:
        while not self._is_draining:
            await self._incarnate(self._queue.store)

    # -- one incarnation ---------------------------------------------------------------------

    async def _incarnate(self, store: MessageStore) -> None:
        lease = Lease(self._queue.lease, store.renewal)
        self._crew = Crew()
        self._done = []
        self._look = True
        store.writer.keep(lease)
        store.writer.listen(store.topic, self._announce)
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._concurrency):
                    group.start_soon(self._work, self._crew, lease)
                group.start_soon(self._beat, lease, group.cancel_scope)
                await self._pump(store, lease)
                group.cancel_scope.cancel()
        finally:
            store.writer.unlisten(store.topic, self._announce)
            store.writer.forget(lease)
            if lease.is_lost:
                self._lost.inc()
                _log.warning("%r lost its lease; what it had goes to others", self)
            with anyio.CancelScope(shield=True):
                await self._retire(store, lease)
        if self._failure is not None:
            raise self._failure

    async def _retire(self, store: MessageStore, lease: Lease) -> None:
        settled, self._done = self._done, []
        try:
            await store.writer.run(store.retire(lease.owner, settled), stands=True)
        except (EngineError, Misuse) as error:
            # The lease will be over by itself.
            _log.warning("%r could not give back its messages: %s", self, error)

    async def _beat(self, lease: Lease, scope: anyio.CancelScope) -> None:
        while not lease.is_lost:
            lease.beat()
            await anyio.sleep(lease.beat_every)
        scope.cancel()

    async def _work(self, crew: Crew[Claimed], lease: Lease) -> None:
        while True:
            claim = await crew.take()
            if lease.is_lost:
                return  # Others may have begun it.
            began = time.perf_counter()
            try:
                settlement = await self._handling.handle(claim, lease)
            except Misuse as error:
                self._failure = error
                self._wake()
                return
            self._seconds.record(time.perf_counter() - began)
            self._settled[settlement.action].inc()
            self._done.append(settlement)
            self._wake()

    # -- the pump ----------------------------------------------------------------------------

    async def _pump(self, store: MessageStore, lease: Lease) -> None:
        """Returns when all is drained, the lease is lost or a worker has failed."""
        held = 0
        pause, longest = _PATIENCE
        while not lease.is_lost and self._failure is None:
            if self._is_draining:
                self._give_back_what_has_not_begun()
            settled = self._done
            want = 0
            if not self._is_draining and (self._look or time.monotonic() >= self._due):
                want = self._capacity - (held - len(settled))
            if want <= 0 and not settled:
                if self._is_draining and held == 0:
                    return
                await self._sleep(held)
                continue
            self._done = []
            if want > 0:
                self._look = False
            try:
                answer = await self._exchange(store, lease, settled, held, want)
            except BaseException as error:
                # Perhaps it was written; settling once more what is settled changes nothing.
                self._done = settled + self._done
                if isinstance(error, OutcomeUnknown):
                    return  # There may be claims that nobody here knows of: begin anew.
                # Misuse: a connection of this process keeps the file locked, for now.
                if not isinstance(error, (EngineError, Misuse)):
                    raise
                if pause == _PATIENCE[0]:
                    _log.warning("%r goes on trying: %s", self, error)
                self._look = True
                lease.held = held
                await anyio.sleep(pause)
                pause = min(longest, pause * 2)
                continue
            pause = _PATIENCE[0]
            held += len(answer.claimed) - len(settled)
            lease.held = held
            self._stale.inc(answer.stale)
            if answer.is_lost:
                lease.lose()
                return
            self._crew.give(answer.claimed)
            if want > 0:
                self._note_what_is_left(want, answer)

    async def _exchange(
        self, store: MessageStore, lease: Lease, settled: list[Settlement], held: int, want: int
    ) -> Exchanged:
        request = Exchange(
            lease.owner,
            lease.seconds,
            settled,
            max(0, want),
            held > len(settled),
            self._queue.retry.attempts,
        )
        sent = time.monotonic()
        lease.claiming(sent, max(0, want))
        answer = await store.writer.run(store.exchange(request))
        if not answer.is_lost:
            lease.extended(sent)
        return answer

    def _note_what_is_left(self, want: int, answer: Exchanged) -> None:
        if len(answer.claimed) == want:
            self._look = True  # There may be more.
        elif answer.wait is None:
            self._due = math.inf
        else:
            self._due = time.monotonic() + max(0.0, answer.wait)

    def _give_back_what_has_not_begun(self) -> None:
        for claim in self._crew.take_back():
            self._settled[Action.GIVE_BACK].inc()
            self._done.append(Settlement(Action.GIVE_BACK, claim.seq, claim.fence, claim.key))

    async def _sleep(self, held: int) -> None:
        self._asleep = place = current_hub().place()
        try:
            has_room = not self._is_draining and held < self._capacity
            if self._done or self._failure is not None or (has_room and self._look):
                return
            if self._is_draining:
                await place.wait()
                return
            left = self._due - time.monotonic() if has_room else math.inf
            await place.wait(None if math.isinf(left) else max(0.0, left))
        finally:
            self._asleep = None

    def _announce(self) -> None:
        """Something may be there to claim. Called by the writer's thread."""
        self._look = True
        self._wake()

    def _wake(self) -> None:
        place = self._asleep
        if place is not None:
            place.wake()

    def _count(self, what: str, value: int, *, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            raise Misuse(
                f"message queue {self._queue.name!r}: {what}={value!r} is not a number of messages",
                hint=f"give {least} to {_MOST}",
            )
        return value
