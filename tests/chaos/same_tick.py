"""Cancellation in the very tick in which an item comes, at random, to a queue or its like.

Workers are parked at an empty queue (or, putters, at a full one): only there has one that is
cancelled an item to lose. Then, in one tick of the loop and in any order, items come, workers are
cancelled by their tasks or by their scopes, deadlines pass, and at last the queue is shut down.
What is tried is a `Door`; those of other libraries show what the trial sees of a loss.

Seen red with: a getter, a putter, a select or a peek that leaves and does not pass its wake on; a
waiter that keeps an item, or puts one, though it was cancelled or its time was up; an item taken
before the turn of the loop in which a cancel is seen; a place that stays reserved once it is used
or dropped, or whose release wakes nobody; a select that takes from two queues, or ends with the
first that does; `accepted`, `clear` and `min` one too low; a batch, a new bound or a shutdown that
wakes no putter; an immediate shutdown that leaves items inside; a stack that is a line; a wake
from a thread that is lost behind another; and of fair queues, any item to whoever runs first, what
is granted taken by others, a waiter that loses its place, a grant that outlives its waiter.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from tests.chaos.ledger import Ledger
from tests.chaos.limits import Limit, choose
from tests.loops import LOOPS

WORKERS = 6
TICKS = 150
PATIENCE = 30.0
"""Seconds after which a worker that should have been woken never will be."""
LONGEST_TURN = 0.1
"""Seconds of one turn of the loop that count towards it."""


class Door(Protocol):
    """One side of a queue, where workers park, and the other, from where they are fed."""

    ended: tuple[type[Exception], ...]
    """What its operations raise once it is closed."""

    ways: tuple[str, ...]
    """How the time of its operations can run out; see `limits`."""

    is_open_to_threads: bool
    """Whether it can be fed from another thread than that of the loop."""

    async def work(self, worker: Worker) -> bool:
        """One operation that parks; whether it came to its end within the worker's limit."""

    def feed(self) -> None:
        """What a parked worker waits for; nothing where it does not fit."""

    def stir(self) -> None:
        """Whatever else can be done to it by someone who does not wait."""

    def parked(self) -> int:
        """How many places are taken in its lists of those who wait."""

    def is_still(self, workers: list[Worker]) -> bool:
        """Whether nothing is there that one of these workers could go on with."""

    def close(self) -> None: ...

    def rest(self) -> None:
        """Takes out what is left inside."""


class Worker:
    """A task that works at a door until that is closed, however often it is cancelled."""

    def __init__(self, door: Door, ledger: Ledger, rng: random.Random) -> None:
        self.door = door
        self.ledger = ledger
        self.rng = rng
        self.limit = Limit()
        self.places: tuple[Any, ...] = ()
        """Where it waits, or will in this step."""
        self.scope: anyio.CancelScope | None = None
        self.task: asyncio.Task[Any] | None = None
        self.natively = False
        self.is_done = False
        self.end = anyio.Event()
        self.whistle: anyio.Event | None = None
        """If there is one, the worker may rest until it blows."""

    async def run(self) -> None:
        if asyncio._get_running_loop() is not None:
            self.task = asyncio.current_task()
        while not self.is_done:
            end = await self.once()
            self.places = ()
            self.ledger.ends[end] += 1
            if self.whistle is not None and self.rng.random() < 0.6:
                await self.whistle.wait()
        self.end.set()

    async def once(self) -> str:
        self.limit = choose(self.rng, self.door.ways)
        end = "scope"
        try:
            with anyio.CancelScope() as self.scope:
                end = "done" if await self.door.work(self) else self.limit.way
        except self.door.ended:
            self.is_done = True
            end = "closed"
        except asyncio.CancelledError:
            # A scope knows its own by a message, which `asyncio.timeout` in the same tick replaces.
            if not self.natively and not self.was_cancelled():
                raise
            end = "native" if self.natively else "scope"
        if self.task is not None and (self.natively or self.was_cancelled()):
            self.natively = False
            while self.task.cancelling():
                self.task.uncancel()
        return end

    def was_cancelled(self) -> bool:
        return self.scope is not None and self.scope.cancel_called

    def cancel(self) -> None:
        if not self.places:
            return
        how = self.rng.choice(("scope", "task", "both"))
        if self.task is not None and how != "scope":
            self.natively = True
            self.task.cancel()
        if self.task is None or how != "task":
            assert self.scope is not None
            self.scope.cancel()


class Trial:
    """One door from its opening to its end: `TICKS` ticks, the last of which closes it."""

    def __init__(
        self,
        make: Callable[[random.Random, Ledger], Door],
        rng: random.Random,
        ledger: Ledger | None = None,
    ) -> None:
        self.rng = rng
        self.ledger = Ledger() if ledger is None else ledger
        self.stuck = ""
        self.door = make(rng, self.ledger)
        self.workers = [Worker(self.door, self.ledger, rng) for _ in range(WORKERS)]
        self.elsewhere = ThreadPoolExecutor(1)

    def run(self, loop: str) -> None:
        backend, options = LOOPS[loop]
        with self.elsewhere:
            anyio.run(self.main, backend=backend, backend_options=options)

    async def main(self) -> None:
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.run)
            while not all(worker.scope for worker in self.workers):
                await anyio.lowlevel.checkpoint()
            for left in reversed(range(TICKS)):
                # Whoever has lost a wake would go and take the item itself: so some rest, while
                # it is asked whether another one sleeps beside that item.
                if not (await self.gets_quiet() and await self.all_park()):
                    group.cancel_scope.cancel()
                    break
                if left:
                    whistle = anyio.Event()
                    for worker in self.workers:
                        worker.whistle = whistle
                await self.tick(last=left == 0)
            with anyio.move_on_after(PATIENCE):
                for worker in self.workers:
                    await worker.end.wait()
            if not all(worker.is_done for worker in self.workers):
                self.stuck = self.stuck or f"sleeps beside its end: {self.door.parked()} places"
                group.cancel_scope.cancel()
        self.door.rest()

    async def all_park(self) -> bool:
        for worker in self.workers:
            if worker.whistle is not None:
                worker.whistle.set()
                worker.whistle = None
        return await self.gets_quiet(lambda: all(worker.places for worker in self.workers))

    async def gets_quiet(self, also: Callable[[], bool] = lambda: True) -> bool:
        waited = 0.0
        before = time.monotonic()
        while not (self.is_quiet() and also()):
            now = time.monotonic()
            # A turn that took long was the whole process being stopped, and no worker's sleep.
            waited += min(now - before, LONGEST_TURN)
            before = now
            if waited > PATIENCE:
                places = [len(worker.places) for worker in self.workers]
                self.stuck = f"{self.door.parked()} places are taken, {places} wait, nobody works"
                return False
            await anyio.lowlevel.checkpoint()
        return True

    def is_quiet(self) -> bool:
        """Whether all who are at work are parked, with nothing there for any of them."""
        at_work = [worker for worker in self.workers if worker.places]
        standing = sum(len(worker.places) for worker in at_work)
        return self.door.parked() == standing and self.door.is_still(at_work)

    async def tick(self, *, last: bool) -> None:
        rng = self.rng
        acts: list[Callable[[], object]] = [self.door.feed for _ in range(rng.randrange(5))]
        if rng.random() < 0.2:
            acts.append(self.door.stir)
        if last:
            acts.append(self.door.close)
        if self.door.is_open_to_threads and rng.random() < 0.2:
            # The loop stands still meanwhile, so it finds the wakes and the cancels together.
            acts = [partial(self.in_a_thread, act) for act in acts]
        acts += [worker.cancel for worker in rng.sample(self.workers, rng.randrange(4))]
        if rng.random() < 0.1:
            acts.append(partial(time.sleep, 0.0002))  # Every deadline passes in this tick.
        rng.shuffle(acts)
        for act in acts:
            act()
            if rng.random() < 0.1:
                await anyio.lowlevel.checkpoint()

    def in_a_thread(self, act: Callable[[], object]) -> None:
        self.elsewhere.submit(act).result()

    def check(self, where: str) -> int:
        """The number of operations done. Raises AssertionError."""
        assert not self.stuck, f"{where}: {self.stuck}; {self.ledger.lost()[:5]} did not come"
        return self.ledger.check(where)
