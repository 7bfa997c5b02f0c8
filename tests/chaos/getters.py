"""Getters of every kind, parked at an empty queue that one loop alone uses."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

from penstock import LifoQueue, PriorityQueue, Queue
from penstock.errors import Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown, Reservation
from tests.chaos.content import Content
from tests.chaos.ledger import Ledger
from tests.chaos.limits import WAYS, Operate
from tests.chaos.same_tick import Worker

KINDS = (Queue, Queue, LifoQueue, PriorityQueue)


class Getters:
    """What is tried with one queue of any order and bound; see `same_tick.Door`."""

    ended: tuple[type[Exception], ...] = (QueueShutDown,)
    ways = WAYS
    is_open_to_threads = True
    bounds: tuple[int, ...] = (0, 1, 2, 7)

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        self.rng = rng
        self.ledger = ledger
        kind = rng.choice(KINDS)
        is_fair = rng.random() < 0.5
        self.queue: Queue[int] = kind(rng.choice(self.bounds), fair=is_fair)
        self.content = Content(kind, ledger, is_fair=is_fair)
        self.places: list[Reservation[int]] = []
        self.is_plain = rng.random() < 0.5
        """Nothing is done that makes a list of a ring, so there are rings under trial, too."""
        self.has_many = is_fair or rng.random() < 0.5
        """Some wait for more than one item."""

    def item(self) -> int:
        return self.ledger.next(lead=self.rng.randrange(8))

    async def work(self, worker: Worker) -> bool:
        worker.places = (self.queue,)
        return await worker.limit.run(self.operation(worker))

    def operation(self, worker: Worker) -> Operate:
        chance = self.rng.random()
        if worker.limit.way != "own" and chance < 0.15:
            return self.iterate if chance < 0.1 else self.get_by_view
        if chance < 0.25:
            return self.get_some
        if chance < 0.35 and self.has_many:
            need = self.rng.choice((2, 3))
            if not self.queue.maxsize or self.queue.maxsize >= need:
                return lambda timeout: self.get_enough(need, timeout)
        if chance < 0.42 and not self.is_plain:
            return self.peek
        return self.get

    async def get(self, timeout: float | None) -> None:
        with self.content.getters.turn() as turn:
            self.content.take(await turn.take(self.queue.aget(timeout)), turn)

    async def get_by_view(self, _timeout: float | None) -> None:
        with self.content.getters.turn() as turn:
            self.content.take(await turn.take(self.queue.async_q.get()), turn)

    async def get_some(self, timeout: float | None) -> None:
        with self.content.getters.turn() as turn:
            for item in await turn.take(self.queue.aget_many(3, timeout=timeout)):
                self.content.take(item, turn)

    async def get_enough(self, need: int, timeout: float | None) -> None:
        with self.content.getters.turn(need) as turn:
            try:
                items = await turn.take(self.queue.aget_many(4, min=need, timeout=timeout))
            except Misuse:
                if self.is_plain:
                    self.ledger.fault("the bound was never moved")
                return
            if len(items) < need and not self.content.is_closed:
                self.ledger.fault(f"{len(items)} came where at least {need} were asked for")
            for item in items:
                self.content.take(item, turn)

    async def iterate(self, _timeout: float | None) -> None:
        items = aiter(self.queue)
        while True:
            with self.content.getters.turn() as turn:
                try:
                    self.content.take(await turn.take(anext(items)), turn)
                except StopAsyncIteration:
                    if not self.content.is_closed or self.content.items:
                        self.ledger.fault("the iteration ended before the queue did")
                    return
            if self.rng.random() < 0.3:
                return

    async def peek(self, timeout: float | None) -> None:
        with self.content.getters.turn() as turn:
            self.content.look(await turn.take(self.queue.apeek(timeout)), turn)

    def feed(self) -> None:
        self.ledger.ends["fed"] += 1
        ways: list[Callable[[int], None]] = [
            self.queue.put_nowait,
            self.queue.put_nowait,
            self.queue.async_q.put_nowait,
            self.queue.sync_q.put_nowait,
            lambda item: self.queue.put(item, timeout=0.0),
        ]
        if not self.is_plain:
            ways += [self.put_reserved]
        item = self.item()
        if self.rng.random() < 0.2:
            self.feed_many()
            return
        try:
            self.rng.choice(ways)(item)
        except (QueueFull, QueueShutDown):
            return
        self.content.put(item)

    def feed_many(self) -> None:
        items = [self.item() for _ in range(self.rng.randrange(1, 5))]
        accepted = len(items)
        try:
            self.queue.put_many(items, timeout=0.0)
        except (QueueFull, QueueShutDown) as refusal:
            accepted = refusal.accepted
        for item in items[:accepted]:
            self.content.put(item)

    def put_reserved(self, item: int) -> None:
        if self.places:
            self.places.pop().put(item)
        else:
            with self.queue.reserve(block=False) as place:
                place.put(item)

    def stir(self) -> None:
        if self.is_plain:
            return
        self.ledger.ends["stirred"] += 1
        chance = self.rng.random()
        if chance < 0.3:
            self.content.drop(self.queue.clear())
        elif chance < 0.5:
            with suppress(QueueEmpty, QueueShutDown):
                self.content.look(self.queue.peek_nowait())
        elif chance < 0.7:
            self.queue.maxsize = self.rng.choice(self.bounds)
        elif self.places:
            self.places.pop().release()
        else:
            self.hold_a_place()

    def hold_a_place(self) -> None:
        try:
            self.places.append(self.queue.reserve(block=False))
        except (QueueFull, QueueShutDown):
            return

    def held(self) -> int:
        return len(self.places)

    def parked(self) -> int:
        figures = self.queue.statistics()
        return figures.waiting_getters + figures.waiting_putters

    def is_still(self, workers: list[Worker]) -> bool:
        figures = self.queue.statistics()
        if figures.reserved != self.held():
            self.ledger.fault(f"{figures.reserved} places are reserved, {self.held()} are held")
        return self.content.is_still()

    def close(self) -> None:
        immediate = self.rng.random() < 0.3
        if self.rng.random() < 0.2:
            self.queue.shutdown()
        self.queue.shutdown(immediate)
        self.content.is_closed = True
        if immediate:
            self.content.drop(len(self.content.items))

    def rest(self) -> None:
        for place in self.places:
            place.release()
        self.places.clear()
        try:
            for item in self.queue.get_many(min=0):
                self.content.take(item)
        except QueueShutDown:
            pass
        if self.content.items and not self.ledger.lost():
            self.ledger.fault(f"{self.content.items} are inside, and do not come")
        figures = self.queue.statistics()
        moved = len(self.ledger.got) + len(self.ledger.dropped)
        if figures[2:4] != (0, 0) or (figures.put, figures.got) != (moved, moved):
            self.ledger.fault(f"{moved} items came or were dropped: {figures}")
        if figures.unfinished != len(self.ledger.got):
            self.ledger.fault(f"{len(self.ledger.got)} items may be reported as done: {figures}")
        if figures.reserved:
            self.ledger.fault(f"{figures.reserved} places are reserved at the end")
