"""`SagaStore`: sagas that survive the process that began them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from penstock._durable.engines import Address
from penstock._durable.pages import Page
from penstock.errors import Closed, Conflict, EngineError, Misuse
from penstock.tracing import TraceContext

from .definition import Saga
from .execution import refuse_what_awaits, settled_outcome
from .handle import SagaHandle
from .ids import saga_key
from .inspection import SagaRecord, SagaStep, record, step_of
from .outcome import Outcome
from .raising import raise_unless_completed
from .runner import Runner
from .store import NewSaga, Raised, SagaEngine
from .transaction import Transaction
from .waiting import Ticket, Waiting

if TYPE_CHECKING:
    from .sync import SyncSagaStore

C = TypeVar("C")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_MOST = 10_000


class SagaStore:
    """Runs sagas durably, together with every other process that opens the same store.

    Each step's end is committed before the next step begins, so what was acknowledged as started
    ends completed, compensated or parked, whoever dies. While it is open, a store runs the sagas
    that are started here, and goes on with those whose process has died, was stopped for longer
    than the lease, or was closed before they ended. Nobody has to call a recovery.

    Make it with `SagaStore.open(url, sagas=[...])`; nothing is opened before `async with store:`,
    which may also be left to a `Service`. Leaving drains: what runs is run to its end, what waits
    for its next attempt is given back for others. Leaving by cancellation gives everything back at
    once; a step that was under way then is run again.

    For one event loop; `store.sync` is for threads without one. asyncio, uvloop and trio.

    Cost on SQLite: one commit for each step and one for the start, which all sagas that move
    meanwhile share.

    Example:
        >>> import anyio
        >>> greeting = Saga("greet", context=str)
        >>> @greeting.step()
        ... async def say(name: str) -> str: return f"hello {name}"
        >>> async def main() -> None:
        ...     async with SagaStore.open("memory://", sagas=[greeting]) as store:
        ...         outcome = await store.run(greeting, "Ada", key="greet-1")
        ...         print(outcome.state, outcome.results["say"])
        >>> anyio.run(main)
        completed hello Ada

    """

    def __init__(
        self,
        url: str,
        *,
        sagas: Iterable[Saga[Any]],
        concurrency: int = 64,
        lease: float = 10.0,
        max_crashes: int = 10,
        patience: float = 30.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._address = Address(url)
        self.name = "saga store"
        """Of it as a part of a service."""
        self._sagas: dict[str, Saga[Any]] = {}
        for saga in sagas:
            if not isinstance(saga, Saga):
                self._refuse(f"sagas= holds {saga!r}, which is no Saga", "sagas=[booking]")
            if saga.name in self._sagas:
                self._refuse(f"two sagas are named {saga.name!r}", "name them apart")
            saga.seal()
            self._sagas[saga.name] = saga
        self.names = tuple(self._sagas)
        self.concurrency = self._count("concurrency", concurrency)
        self.max_crashes = self._count("max_crashes", max_crashes)
        self.lease = self._seconds("lease", lease)
        self.patience = self._seconds("patience", patience)
        self._clock = clock
        self._engine: SagaEngine | None = None
        self._opening = threading.Lock()
        self._is_abandoned = False
        self._runner: Runner | None = None
        self._waiting: Waiting | None = None
        self._group: TaskGroup | None = None
        self._is_draining = False
        self._failure: EngineError | Misuse | None = None
        self._failing_since: float | None = None

    @classmethod
    def open(
        cls,
        url: str,
        *,
        sagas: Iterable[Saga[Any]],
        concurrency: int = 64,
        lease: float = 10.0,
        max_crashes: int = 10,
        patience: float = 30.0,
        clock: Callable[[], float] | None = None,
    ) -> Self:
        """A store, to be entered with `async with`.

        Args:
            url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `memory://` for tests.
            sagas: those that are started and run here. Sagas of other names in the same store are
                left to processes that know them.
            concurrency: sagas run here at a time. What is started beyond that is kept in the store
                until there is room, here or elsewhere.
            lease: seconds after which a process that shows no life is taken over.
            max_crashes: a saga whose step loses its process so often in a row is parked.
            patience: seconds for which writes that fail are repeated, while the lease lasts; then
                the store fails as a part of its Service does, with the error of the writes.
            clock: for tests: seconds since 1970 instead of the store's clock.

        Raises Misuse for arguments that cannot work.

        """
        return cls(
            url,
            sagas=sagas,
            concurrency=concurrency,
            lease=lease,
            max_crashes=max_crashes,
            patience=patience,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"<SagaStore {self._address.url}>"

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def sync(self) -> SyncSagaStore:
        """The same store with blocking methods, for threads without an event loop."""
        from .sync import SyncSagaStore

        return SyncSagaStore(self)

    # -- lifetime ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._group is not None or self._is_abandoned:
            self._refuse("it has been opened before", "make another one with SagaStore.open")
        try:
            await anyio.to_thread.run_sync(self._open)
            assert self._engine is not None
            self._waiting = Waiting(self._engine)
            group = anyio.create_task_group()
            await group.__aenter__()
            self._group = group
            self._runner = runner = Runner(self)
            group.start_soon(self._run)
            group.start_soon(self.waiting.run)
            try:
                # A saga that is started before would be anybody's.
                with anyio.CancelScope(shield=True):
                    await runner.has_begun.wait()
            except BaseException:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await group.__aexit__(None, None, None)
                raise
        except BaseException as error:
            with self._opening:
                self._is_abandoned = not isinstance(error, Exception)
            await self._close()
            raise
        return self

    async def drain(self) -> None:
        """Claim no saga any more, and wait for the ends of those that run here.

        The store stays open; sagas that are started now are run by whoever has the file open next.
        A Service calls it, in its turn. Cancellation ends the waiting only.
        """
        self._is_draining = True
        if self._runner is not None:
            self._runner.drain()
            await self.waiting.until(lambda: self._runner is None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._group is not None
        self._is_draining = True
        is_abrupt = error is not None and not isinstance(error, Exception)
        try:
            if is_abrupt or self._failure is not None:
                self._group.cancel_scope.cancel()
            elif self._runner is not None:
                self._runner.drain()
            return bool(await self._group.__aexit__(kind, error, trace))
        except BaseExceptionGroup as several:
            # A group of one is no help to whoever reads it.
            if len(several.exceptions) > 1:
                raise
            if several.exceptions[0] is error:
                return False
            raise several.exceptions[0] from None
        finally:
            await self._close()

    def _open(self) -> None:
        engine: SagaEngine = self._address.open("saga", clock=self._clock)
        with self._opening:
            if not self._is_abandoned:
                self._engine = engine
                return
        engine.close()  # Who asked for it has gone: asyncio's own cancellation waits for no thread.

    async def _close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(engine.close)

    async def _run(self) -> None:
        try:
            while self._runner is not None:
                await self._runner.run()
                self._runner = None if self._is_draining else Runner(self)
                self.note()
        except (EngineError, Misuse) as error:
            self._failure = error
            raise
        finally:
            self._runner = None
            self.waiting.close()

    def health(self) -> bool:
        """Whether it runs and can write."""
        return self._runner is not None and self._failure is None

    # -- starting ------------------------------------------------------------------------------

    async def run(self, saga: Saga[C], context: C, *, key: str | None = None) -> Outcome:
        """Start it, or find it started, and wait for its end; raises if it did not complete.

        Raises what the step raised if that was in this process, SagaCompensated if it was in
        another one, SagaParked, and what `start` raises. Cancellation ends the waiting only.
        """
        handle = await self.start(saga, context, key=key)
        outcome = await handle.outcome()
        raise_unless_completed(outcome)
        return outcome

    async def start(self, saga: Saga[C], context: C, *, key: str | None = None) -> SagaHandle:
        """Start a saga; when this returns, its start is committed and it will come to an end.

        Args:
            saga: one of those that the store was opened with.
            context: what it is about; stored with it.
            key: the business case, such as an order's number. A second start with the same key
                and context finds the first one, whether it runs, has ended or is parked.

        Cancellation is seen once the start is committed. Raises Conflict if the key was used with
        another context, Misuse for a saga or context that cannot be run here, EngineError
        if the store fails.

        """
        engine = self.engine
        if self._sagas.get(saga.name) is not saga:
            self._refuse(
                f"saga {saga.name!r} is not one of those it was opened with",
                "SagaStore.open(url, sagas=[…])",
            )
        key = saga_key(saga.name, key)
        traceparent = TraceContext.current().to_headers().get("traceparent")
        new = NewSaga(saga.name, key, saga.version, saga.encoded(context), traceparent)
        runner = self._runner
        with anyio.CancelScope(shield=True):
            if runner is not None and runner.takes_more:
                started = await runner.start(saga, new)
            else:
                started = await engine.writer.run(engine.start(new, None), stands=True)
                if runner is not None:
                    runner.leave()
        if not started.is_new and started.input != new.input:
            raise Conflict(
                f"saga {saga.name!r}: key {key!r} was started with another context",
                hint="give each case a key of its own",
            )
        ticket = self.waiting.ticket(started.seq)
        return SagaHandle(self, saga.name, key, ticket, is_new=started.is_new)

    async def transact(self, fn: Callable[[Transaction, *Ts], R], *args: *Ts) -> R:
        """Run `fn(transaction, *args)` as a transaction on the store's file; returns its result.

        For what the service itself keeps in the same file, as a step's `transact` does: it shares
        the commit with whatever else happens, is committed when this returns, and leaves nothing
        behind if `fn` raises, which comes out here. `fn` runs on the store's writer thread,
        in the context variables of the caller: SQL only, and it may be run again.

        Cancellation: before the writer has taken it nothing happens, afterwards it stands.
        """
        engine = self.engine
        refuse_what_awaits(fn)
        context = copy_context()

        def run(transaction: Transaction) -> R:
            return context.run(fn, transaction, *args)

        answer = await engine.writer.run(engine.transact(run, ()))
        if isinstance(answer, Raised):
            raise answer.error
        result: R = answer
        return result

    async def recover(self) -> None:
        """Wait until no saga of the given kinds is running or due here.

        Sagas are recovered all the time while the store is open; this is for scripts and tests
        that want to know that it is done. What another process runs is not waited for, nor that
        the lease of one that died is over.
        """
        await self.waiting.until(lambda: self._runner is None or self._runner.is_idle)
        _ = self.engine

    # -- looking -------------------------------------------------------------------------------

    async def list(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[SagaRecord]:
        """A page of sagas, in the order of their start.

        Args:
            saga: of this name only.
            state: in this state only: running, compensating, completed, compensated or parked.
            limit: at most so many, 1 to 10,000.
            after: the `next` of the page before.

        """
        start, limit = self.bounds(limit, after)
        engine = self.engine
        found = await engine.writer.run(engine.page(saga, state, start, limit + 1))
        return page(found, limit)

    async def get(self, saga: str, key: str) -> SagaRecord | None:
        """One saga as it stands; None if there is none."""
        engine = self.engine
        found = await engine.writer.run(engine.find(saga, key))
        return None if found is None else record(found)

    async def history(self, saga: str, key: str) -> Sequence[SagaStep]:
        """Every attempt of every step of one saga, in order. Raises KeyError if there is none."""
        engine = self.engine
        found = await engine.writer.run(engine.find(saga, key))
        if found is None:
            raise KeyError(key)
        return tuple(step_of(each) for each in await engine.writer.run(engine.history(found.seq)))

    async def resume(self, saga: str, key: str, *, by: str = "resume") -> bool:
        """Let a parked saga go on where it stands, with its attempts counted anew.

        False if there is no such saga, or it is not parked. `by` is noted in its history. It goes
        on under the definition there is now, if the steps done so far are the first ones of that.
        """
        engine = self.engine
        found = await engine.writer.run(engine.find(saga, key))
        if found is None:
            return False
        return await engine.writer.run(engine.resume(found.seq, by))

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many sagas are in which state, by name. Reads the whole index."""
        engine = self.engine
        counted: dict[str, dict[str, int]] = {}
        for name, state, count in await engine.writer.run(engine.counts()):
            counted.setdefault(name, {})[state] = count
        return counted

    # -- for the runner and the handles --------------------------------------------------------

    @property
    def engine(self) -> SagaEngine:
        """The open store. Raises Closed if there is none."""
        if self._engine is None:
            raise Closed(f"{self!r} is not open", hint="use it inside `async with store:`")
        return self._engine

    def saga(self, name: str) -> Saga[Any]:
        return self._sagas[name]

    @property
    def waiting(self) -> Waiting:
        assert self._waiting is not None, "it is made when the store is opened, and stays"
        return self._waiting

    def is_out_of_patience(self) -> bool:
        """Called when the store has failed: whether it has done so all the time, for too long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since > self.patience

    def works(self) -> None:
        """Called when something was written."""
        self._failing_since = None

    def note(self) -> None:
        """Something has changed that `recover` may wait for."""
        self.waiting.note()

    async def outcome_of(self, ticket: Ticket) -> Outcome:
        found = await self.waiting.outcome(ticket)
        if isinstance(found, Outcome):
            return found
        return settled_outcome(self._sagas.get(found.name), found)

    # -- arguments -----------------------------------------------------------------------------

    def bounds(self, limit: int, after: str | None) -> tuple[int, int]:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
            self._refuse(f"limit={limit!r}", f"give 1 to {_MOST}, and go on with after=")
        try:
            return (0 if after is None else int(after)), limit
        except (TypeError, ValueError):
            self._refuse(f"after={after!r} is not the `next` of a page", "after=page.next")

    def _count(self, what: str, value: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
            self._refuse(f"{what}={value!r}", f"give 1 to {_MOST}")
        return value

    def _seconds(self, what: str, value: float) -> float:
        if not (isinstance(value, (int, float)) and 0 < value < math.inf):
            self._refuse(f"{what}={value!r} is no time", "give seconds, more than 0")
        return float(value)

    def _refuse(self, complaint: str, hint: str) -> NoReturn:
        raise Misuse(f"saga store {self._address.url}: {complaint}", hint=hint)


def page(rows: Sequence[Any], limit: int) -> Page[SagaRecord]:
    """A page of at most `limit`, of rows that were asked for one beyond it."""
    records = tuple(record(row) for row in rows[:limit])
    following = str(rows[limit - 1].seq) if len(rows) > limit else None
    return Page(records, tuple(each.key for each in records), following)
