"""The blocking view of a saga store, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from penstock._blocking import BlockingView
from penstock._durable.pages import Page

from .definition import Saga
from .handle import SagaHandle
from .inspection import SagaRecord, SagaStep
from .outcome import Outcome
from .transaction import Transaction

if TYPE_CHECKING:
    from .saga_store import SagaStore

C = TypeVar("C")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class SyncSagaStore(BlockingView):
    """What `store.sync` is: `with store.sync as sagas:`, with blocking methods of the same names.

    Steps run on an event loop of their own, on a thread that lives as long as the block. Any
    thread may call; refused with Misuse on an event loop's thread. Ctrl-C ends a call as
    cancellation does.
    """

    def __init__(self, store: SagaStore) -> None:
        super().__init__(store)
        self._store = store

    def run(self, saga: Saga[C], context: C, *, key: str | None = None) -> Outcome:
        """As `SagaStore.run`."""

        async def run() -> Outcome:
            return await self._store.run(saga, context, key=key)

        return self._wait(run)

    def start(self, saga: Saga[C], context: C, *, key: str | None = None) -> SyncSagaHandle:
        """As `SagaStore.start`."""

        async def start() -> SagaHandle:
            return await self._store.start(saga, context, key=key)

        return SyncSagaHandle(self._wait(start), self._wait)

    def transact(self, fn: Callable[[Transaction, *Ts], R], *args: *Ts) -> R:
        """As `SagaStore.transact`."""

        async def transact() -> R:
            return await self._store.transact(fn, *args)

        return self._wait(transact)

    def recover(self) -> None:
        """As `SagaStore.recover`."""
        self._wait(self._store.recover)

    def list(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[SagaRecord]:
        """As `SagaStore.list`."""

        async def listed() -> Page[SagaRecord]:
            return await self._store.list(saga=saga, state=state, limit=limit, after=after)

        return self._wait(listed)

    def get(self, saga: str, key: str) -> SagaRecord | None:
        """As `SagaStore.get`."""

        async def get() -> SagaRecord | None:
            return await self._store.get(saga, key)

        return self._wait(get)

    def history(self, saga: str, key: str) -> Sequence[SagaStep]:
        """As `SagaStore.history`."""

        async def history() -> Sequence[SagaStep]:
            return await self._store.history(saga, key)

        return self._wait(history)

    def counts(self) -> dict[str, dict[str, int]]:
        """As `SagaStore.counts`."""
        return self._wait(self._store.counts)

    def resume(self, saga: str, key: str, *, by: str = "resume") -> bool:
        """As `SagaStore.resume`."""

        async def resume() -> bool:
            return await self._store.resume(saga, key, by=by)

        return self._wait(resume)


class SyncSagaHandle:
    """As `SagaHandle`, for threads."""

    def __init__(
        self, handle: SagaHandle, call: Callable[[Callable[[], Awaitable[Outcome]]], Outcome]
    ) -> None:
        self._handle = handle
        self._call = call
        self.saga = handle.saga
        self.key = handle.key
        self.is_new = handle.is_new

    def outcome(self) -> Outcome:
        """As `SagaHandle.outcome`."""
        return self._call(self._handle.outcome)
