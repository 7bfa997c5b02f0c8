"""Tasks that select over several queues, beside getters of each of them."""

from __future__ import annotations

import random
from contextlib import ExitStack, suppress

from penstock import Queue, select
from penstock.queues import QueueFull, QueueShutDown
from tests.chaos.content import Content, Turn
from tests.chaos.getters import KINDS
from tests.chaos.ledger import Ledger
from tests.chaos.limits import WAYS
from tests.chaos.same_tick import Worker


class Selectors:
    """Three queues of any order; every tick may bring items to winning and to losing ones.

    One or two of them may be shut down long before the end.
    """

    ended: tuple[type[Exception], ...] = (QueueShutDown,)
    ways = WAYS
    is_open_to_threads = True

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        self.rng = rng
        self.ledger = ledger
        self.contents: dict[Queue[int], Content] = {}
        for _ in range(3):
            kind = rng.choice(KINDS)
            is_fair = rng.random() < 0.5
            queue: Queue[int] = kind(rng.choice((0, 1, 2, 7)), fair=is_fair)
            self.contents[queue] = Content(kind, ledger, is_fair=is_fair)
        self.queues = list(self.contents)
        self.open = list(self.queues)

    async def work(self, worker: Worker) -> bool:
        # One at least that is open: nobody parks at the others alone.
        queue = self.rng.choice(self.open or self.queues)
        try:
            if self.rng.random() < 0.3:
                worker.places = (queue,)
                return await worker.limit.run(lambda timeout: self.get(queue, timeout))
            others = self.rng.sample(self.queues, self.rng.choice((0, 1, 3, 3)))
            worker.places = (queue, *(other for other in others if other is not queue))
            return await worker.limit.run(lambda timeout: self.select(worker, timeout))
        except QueueShutDown:
            if any(place in self.open for place in worker.places):
                self.ledger.fault(f"the end of {worker.places}, of which {self.open} are open")
            if not self.open:
                raise
            return True

    async def select(self, worker: Worker, timeout: float | None) -> None:
        with ExitStack() as lines:
            getters = [self.contents[queue].getters for queue in worker.places]
            turn = Turn(is_fair=any(line.is_fair for line in getters))
            for line in getters:
                lines.enter_context(line.hold(turn))
            queue, item = await turn.take(select(*worker.places, timeout=timeout))
            if queue in worker.places:
                self.contents[queue].take(item, turn)
            else:
                self.ledger.fault(f"{queue} was not selected from")

    async def get(self, queue: Queue[int], timeout: float | None) -> None:
        content = self.contents[queue]
        with content.getters.turn() as turn:
            content.take(await turn.take(queue.aget(timeout)), turn)

    def feed(self) -> None:
        for queue in self.rng.sample(self.queues, self.rng.choice((1, 1, 2, 3))):
            self.ledger.ends["fed"] += 1
            item = self.ledger.next(lead=self.rng.randrange(8))
            with suppress(QueueFull, QueueShutDown):
                queue.put_nowait(item)
                self.contents[queue].put(item)

    def stir(self) -> None:
        self.ledger.ends["stirred"] += 1
        queue = self.rng.choice(self.queues)
        self.contents[queue].drop(queue.clear())
        if len(self.open) > 1 and self.rng.random() < 0.1:
            self.shut_down(self.open[-1])

    def shut_down(self, queue: Queue[int]) -> None:
        immediate = self.rng.random() < 0.3
        queue.shutdown(immediate)
        content = self.contents[queue]
        content.is_closed = True
        if immediate:
            content.drop(len(content.items))
        if queue in self.open:
            self.open.remove(queue)

    def parked(self) -> int:
        return sum(queue.statistics().waiting_getters for queue in self.queues)

    def is_still(self, workers: list[Worker]) -> bool:
        return all(content.is_still() for content in self.contents.values())

    def close(self) -> None:
        for queue in self.rng.sample(self.queues, 3):
            self.shut_down(queue)

    def rest(self) -> None:
        for queue, content in self.contents.items():
            with suppress(QueueShutDown):
                for item in queue.get_many(min=0):
                    content.take(item)
            figures = queue.statistics()
            if content.items or figures.put != figures.got or figures[2:4] != (0, 0):
                self.ledger.fault(f"{content.items} are left, {figures}")
