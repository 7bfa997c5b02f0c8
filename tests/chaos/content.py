"""What one queue must hold, and who is next, where a single loop uses it: every step is judged."""

from __future__ import annotations

import math
import time
import types
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from penstock import LifoQueue, PriorityQueue
from penstock._native import QueueOperation
from tests.chaos.ledger import Ledger

T = TypeVar("T")


@dataclass(eq=False)
class Turn:
    """One who waits for `need` items, or places, in one line or in several."""

    need: int = 1
    is_fair: bool = False
    is_late: bool = False
    """The loop may have had its turn before the operation took its place, wherever that is."""

    async def take(self, operation: QueueOperation[T]) -> T:
        """Awaits the operation, by hand where it must be known when that took its place."""
        if self.is_fair:
            return await self.step_by_step(operation)
        return await operation

    @types.coroutine
    def step_by_step(self, operation: QueueOperation[T]) -> Generator[Any, Any, T]:
        began = time.perf_counter()
        operation.renew()
        step: Callable[[], Any] = partial(operation.send, None)
        while True:
            try:
                yielded = step()
            except StopIteration as stop:
                # In no variable: what a cancelled sleep leaves behind may keep this frame.
                return cast("T", stop.value)
            # Of the 100 µs that the loop is never kept waiting half are for the clocks.
            self.is_late = self.is_late or time.perf_counter() - began > 50e-6
            try:
                sent = yield yielded
            except BaseException as error:
                step = partial(operation.throw, error)
            else:
                step = partial(operation.send, sent)
            began = math.inf


class Line:
    """Who waits at one side of a queue, in the order of arrival."""

    def __init__(self, *, is_fair: bool) -> None:
        self.is_fair = is_fair
        self.turns: list[Turn] = []

    @contextmanager
    def turn(self, need: int = 1) -> Iterator[Turn]:
        """For the length of one operation."""
        turn = Turn(need, self.is_fair)
        with self.hold(turn):
            yield turn

    @contextmanager
    def hold(self, turn: Turn) -> Iterator[None]:
        """As `turn`, for one that stands in other lines as well."""
        self.turns.append(turn)
        try:
            yield
        finally:
            self.turns.remove(turn)

    def is_certain(self) -> bool:
        return not any(turn.is_late for turn in self.turns)

    def ahead(self, turn: Turn | None) -> int:
        """How much a fair queue keeps for others: for all, from one who does not wait."""
        if not self.is_fair:
            return 0
        before = self.turns if turn is None else self.turns[: self.turns.index(turn)]
        return sum(other.need for other in before)


class Content:
    """The items inside, and those who wait at either side."""

    def __init__(self, kind: type[Any], ledger: Ledger, *, is_fair: bool = False) -> None:
        self.kind = kind
        self.ledger = ledger
        self.items: list[int] = []
        self.is_closed = False
        self.getters = Line(is_fair=is_fair)
        self.putters = Line(is_fair=is_fair)

    def due(self, turn: Turn | None = None) -> int | None:
        """What a getter is to take: the k-th that waits the k-th item, if the queue is fair."""
        ahead = 0 if self.is_closed else self.getters.ahead(turn)
        if ahead >= len(self.items):
            return None
        if self.kind is PriorityQueue:
            return sorted(self.items)[ahead]
        return self.items[-1 - ahead if self.kind is LifoQueue else ahead]

    def put(self, item: int) -> None:
        self.ledger.sent.append(item)
        self.items.append(item)

    def take(self, item: int, turn: Turn | None = None) -> None:
        self.ledger.got.append(item)
        self.look(item, turn, "came")
        if item in self.items:
            self.items.remove(item)

    def look(self, item: int, turn: Turn | None = None, verb: str = "was seen") -> None:
        due = self.due(turn)
        if item != due and self.getters.is_certain():
            self.ledger.fault(f"{item} {verb} where {due} was due")

    def drop(self, count: int) -> None:
        """All that was inside is gone; the queue says it was so many."""
        if count != len(self.items):
            self.ledger.fault(f"{count} were dropped of {len(self.items)}")
        self.ledger.dropped += self.items
        self.items.clear()

    def is_still(self) -> bool:
        """Whether nobody sleeps beside what he waits for.

        Only the first of a fair line is asked, since one who needs more than there is holds up all
        behind him. So may one in any other queue who needs many and was called in vain; which
        one the queue knows alone.
        """
        if not self.getters.is_certain():
            return True
        if self.getters.is_fair:
            return all(turn.need > len(self.items) for turn in self.getters.turns[:1])
        many = [turn for turn in self.getters.turns if turn.need > 1]
        return all(
            turn.need + sum(other.need for other in many if other is not turn) > len(self.items)
            for turn in self.getters.turns
        )
