"""Putters of every kind, parked at a full queue; one that is cancelled has put nothing."""

from __future__ import annotations

import random
from contextlib import suppress

import anyio.lowlevel

from penstock.queues import QueueEmpty, QueueFull, QueueShutDown
from tests.chaos.content import Turn
from tests.chaos.getters import Getters
from tests.chaos.ledger import Batch, Ledger
from tests.chaos.limits import Operate
from tests.chaos.same_tick import Worker


class Putters(Getters):
    """Tasks that put, or that reserve a place and use it, give it back or lose it."""

    bounds = (1, 2, 7)

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        super().__init__(rng, ledger)
        self.holders = 0

    def operation(self, worker: Worker) -> Operate:
        chance = self.rng.random()
        if worker.limit.way != "own" and chance < 0.1:
            return self.put_by_view
        if not self.is_plain and chance < 0.5:
            return self.reserve
        return self.put

    async def put(self, timeout: float | None) -> None:
        item = self.item()
        with self.content.putters.turn() as turn:
            await turn.take(self.queue.aput(item, timeout))
            self.was_granted(turn)
            self.content.put(item)

    async def put_by_view(self, _timeout: float | None) -> None:
        item = self.item()
        with self.content.putters.turn() as turn:
            await turn.take(self.queue.async_q.put(item))
            self.was_granted(turn)
            self.content.put(item)

    def was_granted(self, turn: Turn | None) -> None:
        """Judges a place before it is counted as taken; a fair queue keeps those of others."""
        room = self.queue.maxsize - len(self.content.items) - self.held()
        ahead = self.content.putters.ahead(turn)
        if self.queue.maxsize and room <= ahead and self.content.putters.is_certain():
            self.ledger.fault(f"one of {room} places was taken, {ahead} of which were granted")

    async def reserve(self, timeout: float | None) -> None:
        with self.content.putters.turn() as turn:
            place = await turn.take(self.queue.areserve(timeout))
            self.was_granted(turn)
        self.holders += 1
        item = self.item()
        try:
            match self.rng.randrange(6):
                case 0:
                    place.release()
                case 1:
                    del place
                case 2:
                    with place:
                        await anyio.lowlevel.checkpoint()
                case 3:
                    with place:
                        await anyio.lowlevel.checkpoint()
                        place.put(item)
                        self.content.put(item)
                case _:
                    place.put(item)
                    self.content.put(item)
        finally:
            self.holders -= 1

    def hold_a_place(self) -> None:
        before = len(self.places)
        super().hold_a_place()
        if len(self.places) > before:
            place = self.places.pop()
            self.was_granted(None)
            self.places.append(place)

    def feed(self) -> None:
        """Makes room; what is held counts as taken until it is let go."""
        self.ledger.ends["fed"] += 1
        with suppress(QueueEmpty, QueueShutDown):
            match self.rng.randrange(5):
                case 0:
                    for item in self.queue.get_many(2, min=0):
                        self.content.take(item)
                case 1:
                    self.content.take(self.queue.async_q.get_nowait())
                case 2:
                    self.content.take(self.queue.sync_q.get(timeout=0.0))
                case _:
                    self.content.take(self.queue.get_nowait())

    def held(self) -> int:
        return super().held() + self.holders

    def is_still(self, workers: list[Worker]) -> bool:
        super().is_still(workers)
        return not workers or len(self.content.items) + self.held() >= self.queue.maxsize


class Batches(Putters):
    """Tasks that put batches: of a cancelled one the first items are inside, and no others."""

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        super().__init__(rng, ledger)
        self.is_plain = True

    def operation(self, worker: Worker) -> Operate:
        return self.put_many

    async def put_many(self, timeout: float | None) -> None:
        batch = Batch([self.item() for _ in range(self.rng.randrange(1, 9))], None)
        self.ledger.batches.append(batch)
        try:
            await self.queue.aput_many(batch.items, timeout)
        except (QueueFull, QueueShutDown) as refusal:
            batch.accepted = refusal.accepted
            raise
        batch.accepted = len(batch.items)

    def feed(self) -> None:
        """Nothing but the queue knows how far a batch is, so the order is not judged here."""
        self.ledger.ends["fed"] += 1
        with suppress(QueueShutDown):
            self.ledger.got += self.queue.get_many(self.rng.choice((1, 1, 3)), min=0)

    def is_still(self, workers: list[Worker]) -> bool:
        return not workers or self.queue.qsize() >= self.queue.maxsize

    def close(self) -> None:
        if self.rng.random() < 0.7:
            self.queue.shutdown()
        else:
            self.ledger.cleared += self.queue.qsize()
            self.queue.shutdown(immediate=True)

    def rest(self) -> None:
        with suppress(QueueShutDown):
            self.ledger.got += self.queue.get_many(min=0)
        figures = self.queue.statistics()
        if figures.put != figures.got or figures[2:4] != (0, 0):
            self.ledger.fault(f"there is more at the end: {figures}")
        if figures.got != len(self.ledger.got) + self.ledger.cleared:
            self.ledger.fault(f"{len(self.ledger.got)} came, {figures}")
