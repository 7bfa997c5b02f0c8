"""What `SagaStore.start` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .outcome import Outcome

if TYPE_CHECKING:
    from .saga_store import SagaStore
    from .waiting import Ticket

__all__ = ("SagaHandle",)


class SagaHandle:
    """A saga that was started: its end can be waited for, by any number of tasks, or not at all."""

    __slots__ = ("_store", "_ticket", "is_new", "key", "saga")

    def __init__(
        self, store: SagaStore, saga: str, key: str, ticket: Ticket, *, is_new: bool
    ) -> None:
        self._store = store
        self._ticket = ticket
        self.saga = saga
        self.key = key
        self.is_new = is_new
        """Whether this start began it; False: it had been started before."""

    def __repr__(self) -> str:
        return f"<SagaHandle {self.saga!r} {self.key!r}>"

    async def outcome(self) -> Outcome:
        """Wait until it has ended or is parked, in whichever process. Never raises for that.

        Cancellation ends the waiting, not the saga. Raises Closed if the store is closed
        before, and EngineError if it cannot be read.
        """
        return await self._store.outcome_of(self._ticket)
