"""Who waits for the end of which saga, whether it runs here or in another process.

Sagas that run here tell of their end by themselves. For the others that somebody waits for, one
task looks into the store whenever something was committed that may be such an end.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import anyio

from penstock._loops import Place, current_hub
from penstock.errors import Closed, EngineError, Misuse

from .outcome import Outcome, SagaState
from .store import Claimed, SagaEngine

__all__ = ("Ticket", "Waiting")

_AT_LEAST, _AT_MOST = 0.01, 1.0
"""Seconds between two looks into the store; the longer ones while it fails."""


class Ticket:
    """The end of one saga, for those who hold it."""

    __slots__ = ("__weakref__", "event", "outcome", "seq", "waiters")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.outcome: Outcome | Claimed | None = None
        self.event: anyio.Event | None = None
        self.waiters = 0

    def settle(self, outcome: Outcome | Claimed) -> None:
        self.outcome = outcome
        self.wake()

    def wake(self) -> None:
        if self.event is not None:
            self.event.set()
            self.event = None


class Waiting:
    """For one loop."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._tickets: weakref.WeakValueDictionary[int, Ticket] = weakref.WeakValueDictionary()
        self._here: set[int] = set()
        self._elsewhere: dict[int, Ticket] = {}
        """Waited for, and not run here."""
        self._conditions: list[tuple[Callable[[], bool], anyio.Event]] = []
        self._is_closed = False
        self._look = False
        self._asleep: Place | None = None

    # -- what the runner tells -------------------------------------------------------------------

    def begun(self, seq: int) -> None:
        self._here.add(seq)
        self._elsewhere.pop(seq, None)

    def ended(self, seq: int, outcome: Outcome) -> None:
        ticket = self._tickets.get(seq)
        if ticket is not None:
            ticket.settle(outcome)

    def left(self, seq: int) -> None:
        """It runs here no more; if it has not ended, somebody else goes on with it."""
        self._here.discard(seq)
        ticket = self._tickets.get(seq)
        if ticket is not None and ticket.outcome is None and ticket.waiters:
            self._watch(ticket)

    def note(self) -> None:
        """Something has changed that a condition may be about."""
        if self._conditions:
            for condition, event in self._conditions:
                if self._is_closed or condition():
                    event.set()
            self._conditions = [each for each in self._conditions if not each[1].is_set()]

    def close(self) -> None:
        self._is_closed = True
        self.note()
        for ticket in list(self._tickets.values()):
            ticket.wake()
        self._wake()

    # -- those who wait ------------------------------------------------------------------------

    def ticket(self, seq: int) -> Ticket:
        ticket = self._tickets.get(seq)
        if ticket is None:
            ticket = self._tickets[seq] = Ticket(seq)
        return ticket

    async def outcome(self, ticket: Ticket) -> Outcome | Claimed:
        if ticket.outcome is not None and ticket.outcome.state == SagaState.PARKED:
            ticket.outcome = None  # It may have been resumed.
        while ticket.outcome is None:
            if self._is_closed:
                raise Closed(
                    "the saga store was closed before this saga ended; it goes on where another "
                    "one is open",
                    hint="wait inside of `async with store:`",
                )
            ticket.waiters += 1
            try:
                if ticket.seq not in self._here:
                    self._watch(ticket)
                if ticket.event is None:
                    ticket.event = anyio.Event()
                await ticket.event.wait()
            finally:
                ticket.waiters -= 1
                if not ticket.waiters:
                    self._elsewhere.pop(ticket.seq, None)
        return ticket.outcome

    async def until(self, condition: Callable[[], bool]) -> None:
        if condition() or self._is_closed:
            return
        event = anyio.Event()
        self._conditions.append((condition, event))
        await event.wait()

    # -- the task that looks -------------------------------------------------------------------

    async def run(self) -> None:
        writer, topic = self._engine.writer, self._engine.topic_of_ends
        writer.listen(topic, self._announce)
        pause = _AT_LEAST
        try:
            while not self._is_closed:
                if not (self._look and self._elsewhere):
                    await self._sleep()
                    continue
                self._look = False
                try:
                    ended = await writer.run(self._engine.ended(list(self._elsewhere)))
                except (EngineError, Misuse):
                    # Whoever writes finds out whether it lasts.
                    self._look = True
                    pause = min(_AT_MOST, pause * 2)
                else:
                    pause = _AT_LEAST
                    for found in ended:
                        ticket = self._elsewhere.pop(found.seq, None)
                        if ticket is not None:
                            ticket.settle(found)
                await anyio.sleep(pause)
        finally:
            writer.unlisten(topic, self._announce)

    async def _sleep(self) -> None:
        self._asleep = place = current_hub().place()
        try:
            if not (self._is_closed or (self._look and self._elsewhere)):
                await place.wait()
        finally:
            self._asleep = None

    def _watch(self, ticket: Ticket) -> None:
        self._elsewhere[ticket.seq] = ticket
        self._announce()

    def _announce(self) -> None:
        """An end may have been committed. Also called by the writer's thread."""
        self._look = True
        self._wake()

    def _wake(self) -> None:
        place = self._asleep
        if place is not None:
            place.wake()
