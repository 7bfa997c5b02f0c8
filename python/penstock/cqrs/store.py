"""`StoreUnits`: units of work of a store that has `transact`, such as a `SagaStore`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from penstock.errors import Misuse
from penstock.outbox import Outbox

from .log import EventLog
from .unit import UnitOfWork
from .written import Written

__all__ = ("StoreUnits",)

R = TypeVar("R")

_HINT = "make the handler a plain function of SQL only, or use Sqlite(), which may wait"


class StoreUnits:
    """Units of work in the file of a `SagaStore`, in its group commit: many share one.

    The handler runs on the store's writer thread, between the writes of others. So it must not
    wait for anything: a plain function, or an async one that awaits nothing (its dependencies and
    behaviours inside of `Transactional` neither). One that waits is stopped with Misuse, and
    nothing of it is committed. It may be run again if the commit has to be repeated.

    Args:
        store: an open one; anything with `await store.transact(fn)`.
        outbox, log: as of `Sqlite`.

    """

    def __init__(
        self, store: Any, *, outbox: Outbox[Any] | None = None, log: EventLog | None = None
    ) -> None:
        if not callable(getattr(store, "transact", None)):
            raise Misuse(
                f"StoreUnits({store!r}): it has no transact()", hint="give a SagaStore, or Sqlite()"
            )
        self._store = store
        self._outbox = outbox
        self._log = log

    async def transact(self, work: Callable[[UnitOfWork[Any]], Awaitable[R]]) -> R:
        """Await `work(unit)` in a transaction; see `Units`."""

        def run(transaction: Any) -> R:
            events = None
            if self._outbox is not None or self._log is not None:
                events = Written(transaction, self._outbox, self._log)
            unit: UnitOfWork[Any] = UnitOfWork(transaction, events, is_off_the_loop=True)
            unit.units = self
            return cast(R, at_once(work(unit), self))

        result: R = await self._store.transact(run)
        return result

    def __repr__(self) -> str:
        return f"StoreUnits({self._store!r})"


def at_once(awaitable: Awaitable[Any], whose: object) -> Any:
    """The result of something awaitable that waits for nothing. Raises Misuse if it does."""
    coroutine = cast(Coroutine[Any, Any, Any], awaitable)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    except RuntimeError as error:
        # What loops say to one who would wait and runs in none.
        error.add_note(f"hint: {_HINT}")
        raise
    coroutine.close()
    raise Misuse(
        f"{whose!r}: the handler waits for something, on the thread that all of the store's writes "
        "go through",
        hint=_HINT,
    )
