"""The queues of others, in the same trial.

anyio's stream puts an item into the hands of a getter that waits, and loses it if that one is
cancelled natively in the same tick. The others wake the getter and let it take for itself, as
penstock does: that they pass shows that the trial invents no loss.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from penstock import Queue
from tests.chaos.content import Content
from tests.chaos.ledger import Ledger
from tests.chaos.same_tick import Worker


class Peer(ABC):
    """Getters of one kind, parked at an empty queue; what is put always fits."""

    ended: tuple[type[Exception], ...] = ()
    ways: tuple[str, ...] = ("move_on_after", "timeout", "wait_for")
    is_open_to_threads = False

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        self.ledger = ledger
        self.content = Content(Queue, ledger)
        self.waiting = 0

    async def work(self, worker: Worker) -> bool:
        worker.places = (self,)
        return await worker.limit.run(self.take)

    async def take(self, _timeout: float | None) -> None:
        self.waiting += 1
        try:
            self.content.take(await self.get())
        finally:
            self.waiting -= 1

    @abstractmethod
    async def get(self) -> int: ...

    @abstractmethod
    def put(self, item: int) -> None: ...

    @abstractmethod
    def size(self) -> int: ...

    def feed(self) -> None:
        self.ledger.ends["fed"] += 1
        item = self.ledger.next()
        try:
            self.put(item)
        except self.ended:
            return
        self.content.put(item)

    def stir(self) -> None:  # noqa: B027 - there is nothing else to do to some
        pass

    def parked(self) -> int:
        return self.waiting

    def is_still(self, workers: list[Worker]) -> bool:
        return not workers or self.size() == 0

    @abstractmethod
    def close(self) -> None: ...

    def rest(self) -> None:
        while self.size():
            self.content.take(self.get_nowait())

    @abstractmethod
    def get_nowait(self) -> int: ...


class AnyioGetters(Peer):
    ended = (anyio.EndOfStream, anyio.ClosedResourceError)

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        super().__init__(rng, ledger)
        self.sending: MemoryObjectSendStream[int]
        self.receiving: MemoryObjectReceiveStream[int]
        self.sending, self.receiving = anyio.create_memory_object_stream[int](1000)

    async def get(self) -> int:
        return await self.receiving.receive()

    def put(self, item: int) -> None:
        self.sending.send_nowait(item)

    def size(self) -> int:
        return self.receiving.statistics().current_buffer_used

    def parked(self) -> int:
        return self.receiving.statistics().tasks_waiting_receive

    def close(self) -> None:
        self.sending.close()

    def get_nowait(self) -> int:
        return self.receiving.receive_nowait()

    def rest(self) -> None:
        super().rest()
        self.receiving.close()


class Ended(Exception):
    """What stands for a shutdown where there is none before Python 3.13."""


class AsyncioGetters(Peer):
    ended = (Ended,)

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        super().__init__(rng, ledger)
        self.queue: asyncio.Queue[int | None] = asyncio.Queue()
        self.is_closed = False

    async def get(self) -> int:
        return self.unless_ended(await self.queue.get())

    def get_nowait(self) -> int:
        return self.unless_ended(self.queue.get_nowait())

    def unless_ended(self, item: int | None) -> int:
        if item is None:
            self.queue.put_nowait(None)
            raise Ended
        return item

    def put(self, item: int) -> None:
        if self.is_closed:
            raise Ended
        self.queue.put_nowait(item)

    def size(self) -> int:
        return self.queue.qsize() - self.is_closed

    def close(self) -> None:
        self.is_closed = True
        self.queue.put_nowait(None)


class SidedGetters(Peer):
    """The awaited side of a queue with two: of janus, culsans, or penstock under their names."""

    library: Any

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        super().__init__(rng, ledger)
        self.queue = self.library.Queue()
        self.ended = (self.library.AsyncQueueShutDown,)

    async def get(self) -> int:
        item: int = await self.queue.async_q.get()
        return item

    def get_nowait(self) -> int:
        item: int = self.queue.async_q.get_nowait()
        return item

    def put(self, item: int) -> None:
        self.queue.async_q.put_nowait(item)

    def size(self) -> int:
        size: int = self.queue.async_q.qsize()
        return size

    def close(self) -> None:
        self.queue.async_q.shutdown()
