"""One incarnation of a store's runner: it claims sagas, runs them, and keeps its lease.

All it runs belongs to one owner name and one lease. If the lease is lost, or the outcome of a
write is unknown, the incarnation ends: its sagas are cancelled where they are and given back in one
write, and the next one begins. What was running then is run again, under a higher fence.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from penstock import metrics
from penstock._durable.errors import OutcomeUnknown
from penstock._durable.leases import Lease
from penstock._durable.writes import Write
from penstock._loops import Place, current_hub
from penstock.errors import Closed, EngineError, Misuse

from .definition import Saga
from .execution import Execution, Fenced, Released
from .store import Answer, Change, Claim, Claimed, Encode, NewSaga, Owner, Stale, Started

if TYPE_CHECKING:
    from .saga_store import SagaStore

R = TypeVar("R")

_log = logging.getLogger("penstock.saga")
_stale = metrics.counter("penstock_saga_stale", "moves that came after the lease", ("store",))
_lost = metrics.counter("penstock_saga_leases_lost", "leases that were lost", ("store",))

_SOON, _LATE = 0.05, 2.0  # seconds between tries while the store fails, growing


class Runner:
    """See the module. For one loop; made and run by its `SagaStore`."""

    def __init__(self, store: SagaStore) -> None:
        self._store = store
        self._engine = store.engine
        self._writer = store.engine.writer
        self.lease = Lease(store.lease, self._engine.renewal)
        self.owner = self.lease.owner
        self.held = 0
        """Sagas that run here, and starts under way."""
        self._group: TaskGroup | None = None
        self.has_begun = anyio.Event()
        self._is_over = False
        self._is_retired = False
        self._is_draining = anyio.Event()
        self._failure: EngineError | Misuse | None = None
        # The claimer's sleep; see messages' consumer: whoever sets a flag looks at it afterwards.
        self._asleep: Place | None = None
        self._look = True
        self._due = math.inf
        self._is_idle = False
        self._turn = -1
        self._has_backlog = False

    # -- lifetime ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until drained, or the lease is lost. Raises the store's error if it fails for long."""
        writer, topic = self._writer, self._engine.topic
        writer.keep(self.lease)
        writer.listen(topic, self._announce)
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self.has_begun.set()
                group.start_soon(self._beat, group.cancel_scope)
                await self._claim_for_ever()
                group.cancel_scope.cancel()
        finally:
            self._is_over = self._is_retired = True
            self.has_begun.set()
            writer.unlisten(topic, self._announce)
            writer.forget(self.lease)
            if self.lease.is_lost:
                _lost.bind(store=self._store.url).inc()
                _log.warning("%r lost its lease; what it ran goes to others", self._store)
            with anyio.CancelScope(shield=True):
                await self._retire()
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Claim nothing more, and end when what runs here has ended."""
        self._is_draining.set()
        self._wake()

    @property
    def takes_more(self) -> bool:
        """Whether a saga that is started now may be run here."""
        return not (
            self._group is None
            or self._group.cancel_scope.cancel_called
            or self._is_over
            or self._is_draining.is_set()
            or self.lease.is_lost
            or self.held >= self._store.concurrency
            or self._has_backlog  # Those come first.
        )

    def leave(self) -> None:
        """A saga was started for whoever claims it: here, as soon as there is room."""
        self._has_backlog = self._look = True
        self._wake()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs here and nothing was due when it was looked at last."""
        return self._is_idle and not self._look and self.held == 0

    @property
    def is_fenced(self) -> bool:
        return self.lease.is_lost

    async def _retire(self) -> None:
        try:
            await self._writer.run(self._engine.retire(self.owner), stands=True)
        except (EngineError, Misuse, Closed) as error:
            # The lease will be over by itself.
            _log.warning("%r could not give back its sagas: %s", self._store, error)

    async def _beat(self, scope: anyio.CancelScope) -> None:
        lease = self.lease
        while not lease.is_lost:
            lease.beat()
            await anyio.sleep(lease.beat_every)
        scope.cancel()

    # -- starting here -------------------------------------------------------------------------

    async def start(self, saga: Saga[Any], new: NewSaga) -> Started:
        """Start a saga as its owner, and run it. The caller has looked at `takes_more`."""
        write = self._engine.start(new, self._as_owner())
        sent = time.monotonic()
        self.lease.claiming(sent, 1)
        self.held += 1
        try:
            return await self._writer.run_to_end(write)
        except OutcomeUnknown:
            self._end(None)  # It may be ours, and nobody here would run it: begin anew.
            raise
        finally:
            # Also for a caller who was cancelled: what is committed is ours to run.
            started = write.committed
            if started is None or not started.is_owned:
                self._let_go()
            if started is not None and started.is_lost:
                self.lease.lose()
                self._wake()
            elif started is not None and started.is_owned:
                self.lease.extended(sent)
                if self._is_retired:
                    # The owner has been retired: it would wait for its lease.
                    await self._retire()
                else:
                    self._spawn(saga, _begun(new, started))

    def _as_owner(self) -> Owner:
        return Owner(self.owner, self.lease.seconds, holds=self.held > 0)

    def _let_go(self) -> None:
        self.held -= 1
        self.lease.held = self.held
        self._wake()

    # -- claiming ------------------------------------------------------------------------------

    async def _claim_for_ever(self) -> None:
        pause = _SOON
        while not self.lease.is_lost and self._failure is None and not self._is_over:
            if self._is_draining.is_set():
                if self.held == 0:
                    return
                await self._sleep()
                continue
            due = self._look or time.monotonic() >= self._due
            if self.held >= self._store.concurrency or not due:
                await self._sleep()
                continue
            self._look = self._is_idle = False
            try:
                answer = await self._look_and_claim()
            except OutcomeUnknown:
                return  # There may be claims that nobody here knows of: begin anew.
            except (EngineError, Misuse) as error:
                if self._store.is_out_of_patience():
                    self._failure = error
                    return
                if pause == _SOON:
                    _log.warning("%r goes on trying to claim: %s", self._store, error)
                self._look = True
                await anyio.sleep(pause)
                pause = min(_LATE, pause * 2)
                continue
            pause = _SOON
            self._store.works()
            if answer.is_lost:
                self.lease.lose()
                return
            for found in answer.claimed:
                self._spawn(self._store.saga(found.name), found)
            self._note_what_is_left(answer)

    async def _look_and_claim(self) -> Answer:
        # Looking takes no lock from those who write; with a backlog there is no need to.
        if not self._has_backlog:
            write = self._engine.wait(self.owner, self._store.names)
            wait = await self._writer.run(write)
            if wait is None or wait > 0:
                return Answer((), False, wait)
        want = self._store.concurrency - self.held
        if want <= 0:  # Started here meanwhile.
            self._look = True
            return Answer((), False, None)
        answer = await self._claim(want)
        self._has_backlog = len(answer.claimed) == want
        return answer

    async def _claim(self, want: int) -> Answer:
        sent = time.monotonic()
        owner = self._as_owner()
        self.lease.claiming(sent, want)
        self.held += want
        claimed = 0
        try:
            # Each name comes first in its turn, so that a backlog of one starves no other.
            names = self._store.names
            self._turn = (self._turn + 1) % max(1, len(names))
            claim = Claim(owner, names[self._turn :] + names[: self._turn], want)
            answer = await self._writer.run(self._engine.claim(claim))
            claimed = len(answer.claimed)
        finally:
            self.held -= want - claimed
            self.lease.held = self.held
        if not answer.is_lost:
            self.lease.extended(sent)
        return answer

    def _note_what_is_left(self, answer: Answer) -> None:
        self._is_idle = not self._has_backlog and (answer.wait is None or answer.wait > 0)
        if self._has_backlog:
            self._look = True  # There may be more.
        elif answer.wait is None:
            self._due = math.inf
        else:
            self._due = time.monotonic() + max(0.0, answer.wait)
        self._store.note()

    async def _sleep(self) -> None:
        self._asleep = place = current_hub().place()
        try:
            is_draining = self._is_draining.is_set()
            has_room = not is_draining and self.held < self._store.concurrency
            if (
                self.lease.is_lost
                or self._failure is not None
                or (has_room and self._look)
                or (is_draining and self.held == 0)
            ):
                return
            # Another store of this process may have begun to hold something, which nobody is told.
            left = min(self._due, time.monotonic() + self.lease.seconds / 2) - time.monotonic()
            if not await place.wait(max(0.0, left) if has_room else None):
                self._look = True
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

    # -- running -------------------------------------------------------------------------------

    def _spawn(self, saga: Saga[Any], found: Claimed) -> None:
        assert self._group is not None, "it runs, or nothing would be claimed or started"
        self.lease.held = self.held
        self._store.waiting.begun(found.seq)
        self._group.start_soon(self._run, saga, found)

    async def _run(self, saga: Saga[Any], found: Claimed) -> None:
        execution = Execution(saga, found, self)
        try:
            outcome = await execution.run(self._store.max_crashes)
        except Released:
            pass  # It is given back with the others, when this incarnation ends.
        except Fenced:
            _stale.bind(store=self._store.url).inc()
            _log.warning("%r: saga %r, key %r was taken over", self._store, found.name, found.key)
        except anyio.get_cancelled_exc_class():
            # If it is this one alone, nobody here would go on with it: begin anew.
            assert self._group is not None
            self._group.cancel_scope.cancel()
            raise
        else:
            self._store.waiting.ended(found.seq, outcome)
        finally:
            self._store.waiting.left(found.seq)
            self._let_go()
            self._store.note()

    # -- the journal of what runs here ---------------------------------------------------------

    async def write(self, change: Change) -> None:
        is_written, interruption = await self._persist(lambda: self._engine.change(change))
        if interruption is not None:
            raise interruption
        if not is_written:
            raise Fenced

    async def transact(
        self,
        change: Change,
        fn: Callable[..., Any],
        args: Sequence[Any],
        encode: Encode,
        began: float,
    ) -> tuple[bytes, BaseException | None]:
        answer, interruption = await self._persist(
            lambda: self._engine.transact_step(change, fn, args, encode, began), misuse_ends=True
        )
        if isinstance(answer, bytes):
            return answer, interruption
        if interruption is not None:
            raise interruption
        if isinstance(answer, Stale):
            raise Fenced
        # Its frames would hold the step's.
        try:
            raise answer.error
        finally:
            del answer

    async def _persist(
        self, make: Callable[[], Write[R]], *, misuse_ends: bool = False
    ) -> tuple[R, BaseException | None]:
        """Have it committed, however long the store fails: while the lease lasts it is ours to say.

        A cancellation comes back beside the result of what was handed over: the saga still has to
        know where it stands. While the store fails it is raised at once, and whoever takes over
        runs the step again.
        """
        pause = _SOON
        began = None
        while True:
            if self.lease.is_lost or self._is_over:
                raise Fenced
            write = make()
            try:
                result = await self._writer.run_to_end(write)
            except anyio.get_cancelled_exc_class() as interruption:
                if isinstance(write.error, OutcomeUnknown):
                    self._end(None)
                if not write.is_done or write.error is not None:
                    raise
                return write.outcome(), interruption
            except OutcomeUnknown as error:
                self._end(None)
                raise Fenced from error
            except (EngineError, Misuse) as error:
                if misuse_ends and isinstance(error, Misuse):
                    raise
                now = time.monotonic()
                began = began or now
                if pause == _SOON:
                    _log.warning("%r goes on trying to write: %s", self._store, error)
                if self._store.is_out_of_patience() or now - began > self._store.patience:
                    self._end(error)
                    raise Fenced from error
            else:
                self._store.works()
                return result, None
            await anyio.sleep(pause)
            pause = min(_LATE, pause * 2)

    def _end(self, error: EngineError | Misuse | None) -> None:
        """End this incarnation; with an error, the store's running as a whole."""
        if error is not None:
            self._failure = error
        self._is_over = True
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def pause(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._is_draining.wait()
            raise Released


def _begun(new: NewSaga, started: Started) -> Claimed:
    """What was just started, as it would be claimed."""
    return Claimed(
        started.seq,
        new.name,
        new.key,
        new.version,
        started.fence,
        "running",
        "do",
        0,
        1,
        False,
        0,
        0.0,
        new.input,
        new.traceparent,
        None,
        None,
        0,
        (),
    )
