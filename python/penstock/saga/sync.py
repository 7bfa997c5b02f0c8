"""The blocking view of a saga store, for threads: Django, Flask, scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple

import anyio.from_thread
from anyio.from_thread import BlockingPortal

from penstock._durable.pages import Page
from penstock._loops import current_hub
from penstock.errors import Closed, Misuse

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


class SyncSagaStore:
    """What `store.sync` is: `with store.sync as sagas:`, with blocking methods of the same names.

    Steps run on an event loop of their own, on a thread that lives as long as the block. Any
    thread may call; refused with Misuse on an event loop's thread.
    """

    def __init__(self, store: SagaStore) -> None:
        self._store = store
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        _refuse_on_a_loop()
        with ExitStack() as stack:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self._store))
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal = None
        self._stack.__exit__(kind, error, trace)

    def run(self, saga: Saga[C], context: C, *, key: str | None = None) -> Outcome:
        """As `SagaStore.run`."""

        async def run() -> Outcome:
            return await self._store.run(saga, context, key=key)

        return self._call(run)

    def start(self, saga: Saga[C], context: C, *, key: str | None = None) -> SyncSagaHandle:
        """As `SagaStore.start`."""

        async def start() -> SagaHandle:
            return await self._store.start(saga, context, key=key)

        return SyncSagaHandle(self._call(start), self._call)

    def transact(self, fn: Callable[[Transaction, *Ts], R], *args: *Ts) -> R:
        """As `SagaStore.transact`."""

        async def transact() -> R:
            return await self._store.transact(fn, *args)

        return self._call(transact)

    def recover(self) -> None:
        """As `SagaStore.recover`."""
        self._call(self._store.recover)

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

        return self._call(listed)

    def get(self, saga: str, key: str) -> SagaRecord | None:
        """As `SagaStore.get`."""

        async def get() -> SagaRecord | None:
            return await self._store.get(saga, key)

        return self._call(get)

    def history(self, saga: str, key: str) -> Sequence[SagaStep]:
        """As `SagaStore.history`."""

        async def history() -> Sequence[SagaStep]:
            return await self._store.history(saga, key)

        return self._call(history)

    def counts(self) -> dict[str, dict[str, int]]:
        """As `SagaStore.counts`."""
        return self._call(self._store.counts)

    def resume(self, saga: str, key: str, *, by: str = "resume") -> bool:
        """As `SagaStore.resume`."""

        async def resume() -> bool:
            return await self._store.resume(saga, key, by=by)

        return self._call(resume)

    def _call(self, fn: Callable[[], Awaitable[R]]) -> R:
        _refuse_on_a_loop()
        if self._portal is None:
            raise Closed(f"{self._store!r} is not open", hint="use it inside `with store.sync:`")
        return self._portal.call(fn)


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


def _refuse_on_a_loop() -> None:
    try:
        current_hub()
    except Misuse:
        return
    raise Misuse(
        "a blocking call on an event loop's thread would stop the loop",
        hint="use the SagaStore itself there; `.sync` is for threads",
    )
