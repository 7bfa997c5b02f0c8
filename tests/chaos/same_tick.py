"""Cancellation in the very tick in which an item comes, at random, to a queue or its like.

Workers are parked at an empty queue (or, putters, at a full one): only there has one that is
cancelled an item to lose. Then, in one tick of the loop and in any order, items come, workers are
cancelled by their tasks or by their scopes, deadlines pass, and at last the queue is shut down.
What is tried is a `Door`; one to a queue that hands items over shows that the trial sees a loss.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from penstock import Queue
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown

WORKERS = 6
TICKS = 150
PATIENCE = 30.0
"""Seconds after which a worker that should have been woken never will be."""


@dataclass
class Ledger:
    """What is known to have gone in and to have come out."""

    sent: list[int] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    fresh: int = 0

    def next(self) -> int:
        self.fresh += 1
        return self.fresh


class Door(Protocol):
    """One side of a queue, where workers park, and the other, from where they are fed."""

    ended: tuple[type[Exception], ...]
    """What its operations raise once it is closed."""

    async def work(self, ledger: Ledger, timeout: float | None) -> None:
        """One operation that parks; returns as well when the time is up."""

    def feed(self, ledger: Ledger) -> None:
        """What a parked worker waits for; nothing where it does not fit."""

    def parked(self) -> int: ...

    def is_still(self) -> bool:
        """Whether nothing is there that a worker could go on with."""

    def close(self) -> None: ...

    def rest(self, ledger: Ledger) -> None:
        """Takes out what is left inside."""


class Getters:
    """Getters parked at an empty queue."""

    ended = (QueueShutDown,)

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.queue: Queue[int] = Queue(rng.choice((0, 1, 2, 7)))

    async def work(self, ledger: Ledger, timeout: float | None) -> None:
        try:
            if self.rng.random() < 0.2:
                ledger.got += await self.queue.aget_many(3, timeout=timeout)
            elif timeout is not None and self.rng.random() < 0.5:
                with anyio.move_on_after(timeout):
                    ledger.got.append(await self.queue.aget())
            else:
                ledger.got.append(await self.queue.aget(timeout))
        except QueueEmpty:
            pass

    def feed(self, ledger: Ledger) -> None:
        item = ledger.next()
        try:
            self.queue.put_nowait(item)
        except (QueueFull, QueueShutDown):
            return
        ledger.sent.append(item)

    def parked(self) -> int:
        return self.queue.statistics().waiting_getters

    def is_still(self) -> bool:
        return self.queue.empty()

    def close(self) -> None:
        self.queue.shutdown()

    def rest(self, ledger: Ledger) -> None:
        figures = self.queue.statistics()
        assert (figures.waiting_getters, figures.waiting_putters) == (0, 0), figures
        assert figures.put - figures.got == figures.items, figures
        try:
            ledger.got += self.queue.get_many(min=0)
        except QueueShutDown:
            assert figures.items == 0, figures


class Putters(Getters):
    """Putters parked at a full queue; one that is cancelled has put nothing."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.queue = Queue(rng.choice((1, 2, 7)))

    async def work(self, ledger: Ledger, timeout: float | None) -> None:
        item = ledger.next()
        try:
            await self.queue.aput(item, timeout)
        except QueueFull:
            return
        ledger.sent.append(item)

    def feed(self, ledger: Ledger) -> None:
        with contextlib.suppress(QueueEmpty, QueueShutDown):
            ledger.got.append(self.queue.get_nowait())

    def parked(self) -> int:
        return self.queue.statistics().waiting_putters

    def is_still(self) -> bool:
        return self.queue.full()


class StreamGetters:
    """Getters parked at anyio's memory object stream, which hands an item to a waiting getter."""

    ended = (anyio.EndOfStream,)

    def __init__(self, rng: random.Random) -> None:
        self.send: MemoryObjectSendStream[int]
        self.receive: MemoryObjectReceiveStream[int]
        self.send, self.receive = anyio.create_memory_object_stream[int](7)

    async def work(self, ledger: Ledger, timeout: float | None) -> None:
        with anyio.move_on_after(timeout):
            ledger.got.append(await self.receive.receive())

    def feed(self, ledger: Ledger) -> None:
        item = ledger.next()
        try:
            self.send.send_nowait(item)
        except (anyio.WouldBlock, anyio.ClosedResourceError):
            return
        ledger.sent.append(item)

    def parked(self) -> int:
        return self.receive.statistics().tasks_waiting_receive

    def is_still(self) -> bool:
        return self.receive.statistics().current_buffer_used == 0

    def close(self) -> None:
        self.send.close()

    def rest(self, ledger: Ledger) -> None:
        try:
            while True:
                ledger.got.append(self.receive.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            self.receive.close()


@dataclass
class Worker:
    """A task that works at a door until that is closed, however often it is cancelled."""

    door: Door
    ledger: Ledger
    rng: random.Random
    ends: int = 0
    timeout: float | None = None
    scope: anyio.CancelScope | None = None
    task: asyncio.Task[Any] | None = None
    natively: bool = False

    async def run(self) -> None:
        if asyncio._get_running_loop() is not None:
            self.task = asyncio.current_task()
        while await self.once():
            self.ends += 1

    async def once(self) -> bool:
        self.timeout = self.rng.random() * 0.0002 if self.rng.random() < 0.15 else None
        try:
            with anyio.CancelScope() as self.scope:
                await self.door.work(self.ledger, self.timeout)
        except self.door.ended:
            return False
        except asyncio.CancelledError:
            if not self.natively:
                raise
        if self.natively:
            assert self.task is not None
            self.natively = False
            while self.task.cancelling():
                self.task.uncancel()
        return True

    def cancel(self) -> None:
        how = self.rng.choice(("scope", "task", "both"))
        if self.task is not None and how != "scope":
            self.natively = not self.task.done()
            self.task.cancel()
        if self.task is None or how != "task":
            assert self.scope is not None
            self.scope.cancel()


class Trial:
    """One door from its opening to its end: `TICKS` ticks, the last of which closes it."""

    def __init__(self, make: Callable[[random.Random], Door], rng: random.Random) -> None:
        self.rng = rng
        self.ledger = Ledger()
        self.stuck = ""
        self.door = make(rng)
        self.workers = [Worker(self.door, self.ledger, rng) for _ in range(WORKERS)]

    async def main(self) -> None:
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.run)
            while not all(worker.scope for worker in self.workers):
                await anyio.lowlevel.checkpoint()
            for left in reversed(range(TICKS)):
                if not await self.quiet():
                    group.cancel_scope.cancel()
                    break
                await self.tick(last=left == 0)
        self.door.rest(self.ledger)

    async def quiet(self) -> bool:
        """Whether those without a timeout are parked by now, with nothing there for them."""
        deadline = time.monotonic() + PATIENCE
        while not self.door.is_still() or self.door.parked() < self.lasting():
            if time.monotonic() > deadline:
                self.stuck = f"{self.door.parked()} of {WORKERS} are parked, and nobody works"
                return False
            await anyio.lowlevel.checkpoint()
        return True

    def lasting(self) -> int:
        return sum(worker.timeout is None for worker in self.workers)

    async def tick(self, *, last: bool) -> None:
        rng = self.rng
        acts: list[Callable[[], None]] = [
            partial(self.door.feed, self.ledger) for _ in range(rng.randrange(1, 5))
        ]
        acts += [worker.cancel for worker in rng.sample(self.workers, rng.randrange(4))]
        if rng.random() < 0.1:
            acts.append(partial(time.sleep, 0.0002))  # Every deadline passes in this tick.
        if last:
            acts.append(self.door.close)
        rng.shuffle(acts)
        for act in acts:
            act()
            if rng.random() < 0.1:
                await anyio.lowlevel.checkpoint()

    def lost(self) -> list[int]:
        return sorted(set(self.ledger.sent) - set(self.ledger.got))

    def check(self, where: str) -> int:
        """The number of operations done. Raises AssertionError."""
        assert not self.stuck, f"{where}: {self.stuck}"
        sent, got = self.ledger.sent, self.ledger.got
        doubled = [item for item, count in Counter(got).items() if count > 1]
        assert not doubled, f"{where}: doubled {doubled[:5]}"
        invented = sorted(set(got) - set(sent))
        assert not invented, f"{where}: never put {invented[:5]}"
        lost = self.lost()
        assert not lost, f"{where}: lost {lost[:5]} of {len(sent)}"
        return len(sent) + sum(worker.ends for worker in self.workers)
