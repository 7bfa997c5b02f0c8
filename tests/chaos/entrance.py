"""The queues of a crowd, as the workers of one of its loops come to them."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio.lowlevel

from penstock import select
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown
from tests.chaos.ledger import Batch, Ledger
from tests.chaos.limits import WAYS
from tests.chaos.same_tick import Worker

if TYPE_CHECKING:
    from tests.chaos.crowd import Crowd


class Entrance:
    """More of its workers get than put; see `same_tick.Door`."""

    ended: tuple[type[Exception], ...] = (QueueShutDown,)
    ways = WAYS
    is_open_to_threads = False

    def __init__(self, crowd: Crowd, rng: random.Random, ledger: Ledger) -> None:
        self.crowd = crowd
        self.rng = rng
        self.ledger = ledger
        self.fed = Ledger(next(crowd.producers))
        self.books: dict[Worker, Ledger] = {}
        self.queue = crowd.queue

    async def work(self, worker: Worker) -> bool:
        worker.places = (self.queue,)
        chance = self.rng.random()
        if chance < 0.25:
            own = self.books.get(worker)
            if own is None:
                own = self.books[worker] = Ledger(next(self.crowd.producers))
            if chance < 0.1:
                return await worker.limit.run(lambda timeout: self.put_many(own, timeout))
            if chance < 0.15 and not self.crowd.is_plain:
                return await worker.limit.run(lambda timeout: self.reserve(own, timeout))
            return await worker.limit.run(lambda timeout: self.put(own, timeout))
        if chance < 0.4:
            return await worker.limit.run(self.select)
        if chance < 0.6:
            return await worker.limit.run(self.get_many)
        return await worker.limit.run(self.get)

    async def get(self, timeout: float | None) -> None:
        self.ledger.got.append(await self.queue.aget(timeout))

    async def get_many(self, timeout: float | None) -> None:
        least = self.rng.choice((1, 1, 2)) if self.crowd.is_plain else 1
        if self.queue.maxsize == 1:
            least = 1
        self.ledger.got += await self.queue.aget_many(5, min=least, timeout=timeout)

    async def select(self, timeout: float | None) -> None:
        _, item = await select(self.queue, self.crowd.side, timeout=timeout)
        self.ledger.got.append(item)

    async def put(self, own: Ledger, timeout: float | None) -> None:
        item = own.next()
        await self.queue.aput(item, timeout)
        self.ledger.sent.append(item)

    async def put_many(self, own: Ledger, timeout: float | None) -> None:
        batch = Batch([own.next() for _ in range(self.rng.randrange(1, 12))], None)
        self.ledger.batches.append(batch)
        try:
            await self.queue.aput_many(batch.items, timeout)
        except (QueueFull, QueueShutDown) as refusal:
            batch.accepted = refusal.accepted
            raise
        batch.accepted = len(batch.items)

    async def reserve(self, own: Ledger, timeout: float | None) -> None:
        with await self.queue.areserve(timeout) as place:
            if self.rng.random() < 0.3:
                await anyio.lowlevel.checkpoint()
            if self.rng.random() < 0.7:
                item = own.next()
                place.put(item)
                self.ledger.sent.append(item)

    def feed(self) -> None:
        if self.rng.random() < 0.3:
            self.crowd.burst.set()
        self.ledger.ends["fed"] += 1
        item = self.fed.next()
        with suppress(QueueFull, QueueShutDown):
            self.queue.put_nowait(item)
            self.ledger.sent.append(item)
        if self.rng.random() < 0.2:
            item = self.ledger.next()
            with suppress(QueueShutDown):
                self.crowd.side.put_nowait(item)
                self.ledger.sent.append(item)

    def stir(self) -> None:
        if self.crowd.is_plain:
            return
        self.ledger.ends["stirred"] += 1
        if self.rng.random() < 0.3:
            self.ledger.cleared += self.queue.clear()
        elif self.rng.random() < 0.5:
            self.queue.maxsize = self.rng.choice((0, 1, 2, 7))
        else:
            with suppress(QueueEmpty, QueueShutDown):
                self.queue.peek_nowait()

    def parked(self) -> int:
        figures = self.queue.statistics()
        return figures.waiting_getters + figures.waiting_putters

    def is_still(self, workers: list[Worker]) -> bool:
        return True

    def close(self) -> None:
        self.crowd.leave()

    def rest(self) -> None:
        """What is left is taken out when everybody has gone."""
