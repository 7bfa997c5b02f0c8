"""`map(concurrency=n)`: up to n calls at a time, results in order or as they come.

One task (the feeder) runs the stages before; up to `concurrency` workers, started as items
come, take items from it and hand results to whoever pulls. What this stage holds:

- at most `concurrency` items that wait for a worker, beside the list in the feeder's hands;
- at most `concurrency` calls in flight;
- at most `concurrency` results that wait to be pulled;
- in order, beside those, what waits behind a slow head: the worker with ticket t does not
  begin before t is within twice the concurrency of the results handed over.

An error ends the stage at its item's place: in order after all results before it, unordered
at once; calls in flight are cancelled when the run is left. Nothing is begun after an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any

import anyio

from penstock.errors import Closed, Lost
from penstock.queues import Queue

from .drive import cancelled_from_inside, drive, left
from .errors import locate
from .link import Link
from .policy import Policy
from .statistics import Waiting
from .step import Head, Step

__all__ = ("ConcurrentMap",)

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]


class _Stopped:
    """In a result's place: the error that ends the stage here."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


_DROPPED = object()


class ConcurrentMap(Head):
    def __init__(
        self,
        name: str,
        upstream: Step,
        fn: Callable[[Any], Any],
        concurrency: int,
        ordered: bool,
        policy: Policy,
    ) -> None:
        super().__init__(name, upstream)
        self._upstream = upstream
        self._fn = fn
        self._concurrency = concurrency
        self._policy = policy
        self._inbox: Queue[tuple[int, Any]] = Queue(maxsize=concurrency)
        self._results = Link(concurrency)
        self._order = _Order(2 * concurrency) if ordered else None
        self._workers = 0
        self._calling = 0
        self._taken = 0
        self._feeding = True
        self._sending = 0
        self._stopped = False
        self._ending: BaseException | None = None
        self.spawn: Spawn | None = None

    async def feed(self) -> None:
        await drive(self._upstream, self._concurrency, self._deliver, self._fed)

    async def pull(self, want: int) -> list[Any] | None:
        self.occupation.waiting = "upstream"
        try:
            items = await self._results.receive(want)
        finally:
            self.occupation.waiting = None
        return items if items is None else self._emit(items)

    async def close(self) -> None:
        self._results.finish(left(self))

    def waiting(self) -> Waiting:
        if self._calling:
            return None
        return "downstream" if self._sending else "upstream"

    def buffered(self) -> int:
        waiting = 0 if self._order is None else len(self._order.done)
        return self._inbox.qsize() + self._calling + waiting + self._results.held()

    async def _deliver(self, items: list[Any]) -> None:
        assert self.spawn is not None
        first = self.tally.items_in
        self.tally.items_in += len(items)
        for _ in range(min(len(items), self._concurrency - self._workers)):
            self._workers += 1
            self.spawn(self._work)
        await self._inbox.aput_many(list(enumerate(items, first)))

    def _fed(self, error: BaseException | None) -> None:
        self._feeding = False
        self._ending = error
        self._inbox.shutdown()
        self._finish_after_the_last()

    def _finish_after_the_last(self) -> None:
        if not self._feeding and not self._workers:
            self._results.finish(self._ending)

    async def _work(self) -> None:
        try:
            while True:
                ticket, item = await self._inbox.aget()
                # No await since the item was taken: a smaller ticket has passed here before.
                if self._stopped:
                    break
                if self._order is not None:
                    await self._order.turn(ticket)
                outcome = await self._call(ticket, item)
                await self._hand_over(ticket, outcome)
        except Closed:
            pass  # nothing comes any more, or nobody takes
        except BaseException:
            self._ending = self._ending or left(self)
            raise
        finally:
            self._workers -= 1
            self._finish_after_the_last()

    async def _call(self, ticket: int, item: Any) -> object:
        self._calling += 1
        try:
            result = self._fn(item)
            return await result if isawaitable(result) else result
        except Exception as error:  # noqa: BLE001
            failure = await self._policy.settle(item, error)
            if failure is None:
                self.tally.dropped += 1
                return _DROPPED
        except BaseException as cancel:
            if not cancelled_from_inside(cancel):
                raise
            failure = Lost(f"{self.label}: the call for item {ticket + 1:,} was cancelled inside")
            failure.__cause__ = cancel
        finally:
            self._calling -= 1
        locate(failure, self.label, ticket + 1)
        self._stopped = True
        return _Stopped(failure)

    async def _hand_over(self, ticket: int, outcome: object) -> None:
        if self._order is not None:
            await self._order.hand_over(ticket, outcome, self._send)
        else:
            await self._send([outcome])

    async def _send(self, outcomes: list[Any]) -> None:
        """Send results up to the first error, and end with that."""
        values = []
        stop: _Stopped | None = None
        for outcome in outcomes:
            if isinstance(outcome, _Stopped):
                stop = outcome
                break
            if outcome is not _DROPPED:
                values.append(outcome)
        if values:
            self._sending += 1
            try:
                await self._results.send(values)
            finally:
                self._sending -= 1
        if stop is not None:
            self._results.finish(stop.error)
            self._inbox.shutdown(immediate=True)


class _Order:
    """Puts results back into the order of their tickets, within a window."""

    __slots__ = ("_handed", "_handing", "_moved", "_next", "_window", "done")

    def __init__(self, window: int) -> None:
        self._window = window
        self._next = 0
        self._handed = 0
        self._handing = False
        self._moved: anyio.Event | None = None
        self.done: dict[int, object] = {}

    async def turn(self, ticket: int) -> None:
        """Wait until this ticket lies within the window of what has been handed over."""
        while ticket >= self._handed + self._window:
            if self._moved is None:
                self._moved = anyio.Event()
            await self._moved.wait()

    async def hand_over(
        self, ticket: int, outcome: object, send: Callable[[list[Any]], Awaitable[None]]
    ) -> None:
        """Keep the result, and send on all whose turn has come; one worker sends at a time."""
        self.done[ticket] = outcome
        if self._handing:
            return
        self._handing = True
        try:
            while self._next in self.done:
                ready = []
                while self._next in self.done:
                    ready.append(self.done.pop(self._next))
                    self._next += 1
                await send(ready)
                self._handed = self._next
                moved, self._moved = self._moved, None
                if moved is not None:
                    moved.set()
        finally:
            self._handing = False
