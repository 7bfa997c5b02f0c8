"""Queues under random cancellation, timeouts and shutdown, on three loops and from threads.

More getters than items, so that getters are parked when an item comes: with a backlog a cancelled
getter could lose nothing, and the run would prove nothing. Every loop has, in turn, a round with
threads beside it and one of `same_tick` for each side of the queue.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from penstock import Queue
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown
from tests.chaos.same_tick import Getters, Putters, Trial
from tests.loops import LOOPS


def run(seed: int, seconds: float) -> int:
    """Runs rounds until the time is up; the number of operations done. Raises AssertionError."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    kinds = (Round, partial(Trial, Getters), partial(Trial, Putters))
    turns = [(name, kind) for kind in kinds for name in LOOPS]
    operations = 0
    number = 0
    while number < len(turns) or time.monotonic() < deadline:
        name, kind = turns[number % len(turns)]
        backend, options = LOOPS[name]
        round_ = kind(random.Random(rng.getrandbits(64)))
        anyio.run(round_.main, backend=backend, backend_options=options)
        operations += round_.check(f"seed {seed}, round {number} on {name}")
        number += 1
    return operations


@dataclass
class Worker:
    """A task that can be cancelled either way."""

    scope: anyio.CancelScope
    task: asyncio.Task[Any] | None
    natively: bool = False

    def cancel(self, rng: random.Random) -> None:
        if self.task is not None and rng.random() < 0.5:
            self.natively = True
            self.task.cancel()
        else:
            self.scope.cancel()


@dataclass
class Round:
    """One queue, its getters and putters, and what each of them saw."""

    rng: random.Random
    sent: list[int] = field(default_factory=list)
    prefixes: list[range] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    operations: int = 0
    started: int = 0
    item: int = 0

    def __post_init__(self) -> None:
        self.queue: Queue[int] = Queue(self.rng.choice((0, 1, 2, 7, 64)))
        self.immediate = self.rng.random() < 0.3
        self.burst = threading.Event()

    def fresh(self, count: int = 1) -> range:
        self.item += count
        return range(self.item - count, self.item)

    async def main(self) -> None:
        threads = [
            threading.Thread(target=self.thread_putter, args=(1_000_000_000,)),
            threading.Thread(target=self.thread_getter),
        ]
        for thread in threads:
            thread.start()
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(self.worker, self.getter)
            for _ in range(2):
                group.start_soon(self.worker, self.putter)
            for _ in range(150):
                await self.disturb(group)
            self.queue.shutdown(immediate=self.immediate)
        self.burst.set()
        while any(thread.is_alive() for thread in threads):
            await anyio.lowlevel.checkpoint()

    async def disturb(self, group: Any) -> None:
        """An item for a parked getter, and a cancellation in the same tick."""
        rng = self.rng
        if rng.random() < 0.3:
            self.burst.set()
        for _ in range(rng.randrange(4)):
            await anyio.lowlevel.checkpoint()
        if rng.random() < 0.7:
            for item in self.fresh(rng.randrange(3)):
                try:
                    self.queue.put_nowait(item)
                except QueueFull:
                    break
                self.sent.append(item)
        for worker in rng.sample(self.workers, min(len(self.workers), rng.randrange(3))):
            worker.cancel(rng)
        while len(self.workers) < 6:
            action = self.putter if rng.random() < 0.25 else self.getter
            started = self.started
            group.start_soon(self.worker, action)
            while self.started == started:
                await anyio.lowlevel.checkpoint()

    async def worker(self, action: Any) -> None:
        with anyio.CancelScope() as scope:
            task = asyncio.current_task() if _on_asyncio() else None
            worker = Worker(scope, task)
            self.workers.append(worker)
            self.started += 1
            try:
                while True:
                    await action()
                    self.operations += 1
            except QueueShutDown:
                pass
            except asyncio.CancelledError:
                if not worker.natively:
                    raise
                assert task is not None
                task.uncancel()
            finally:
                self.workers.remove(worker)

    async def getter(self) -> None:
        choice = self.rng.randrange(4)
        try:
            if choice == 0:
                self.got.append(await self.queue.aget(timeout=self.rng.random() * 0.001))
            elif choice == 1:
                self.got.extend(await self.queue.aget_many(self.rng.randrange(1, 9)))
            elif choice == 2:
                with anyio.move_on_after(self.rng.random() * 0.001):
                    self.got.append(await self.queue.aget())
            else:
                self.got.append(await self.queue.aget())
        except QueueEmpty:
            pass

    async def putter(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.rng.random() < 0.3:
            await self.put_batch()
            return
        (item,) = self.fresh()
        try:
            await self.queue.aput(item, timeout=self.rng.choice((None, 0.0005)))
        except QueueFull:
            return
        self.sent.append(item)

    async def put_batch(self) -> None:
        batch = self.fresh(self.rng.randrange(1, 12))
        try:
            await self.queue.aput_many(batch, timeout=self.rng.choice((None, 0.0005)))
        except QueueFull as refusal:
            self.sent.extend(batch[: refusal.accepted])
            return
        except QueueShutDown as refusal:
            self.sent.extend(batch[: refusal.accepted])
            raise
        except BaseException:
            # Cancelled: how many went in is not reported, but they are the first ones.
            self.prefixes.append(batch)
            raise
        self.sent.extend(batch)

    def thread_putter(self, first: int) -> None:
        try:
            for item in range(first, 2 * first):
                if item % 3 == 0:
                    self.burst.wait()
                    if not self.queue.is_shutdown:
                        self.burst.clear()
                self.queue.put(item)
                self.sent.append(item)
                self.operations += 1
        except QueueShutDown:
            pass

    def thread_getter(self) -> None:
        try:
            while True:
                try:
                    item = self.queue.get(timeout=0.001)
                except QueueEmpty:
                    continue
                self.got.append(item)
        except QueueShutDown:
            pass

    def check(self, where: str) -> int:
        got = Counter(self.got)
        doubled = [item for item, count in got.items() if count > 1]
        assert not doubled, f"{where}: doubled {doubled[:5]}"
        known = set(self.sent)
        for batch in self.prefixes:
            taken = [item in got for item in batch]
            assert self.immediate or taken == sorted(taken, reverse=True), (
                f"{where}: of the cancelled batch {batch} not the first ones came: {taken}"
            )
            known.update(item for item in batch if item in got)
        invented = got.keys() - known
        assert not invented, f"{where}: never put {sorted(invented)[:5]}"
        if not self.immediate:
            lost = known - got.keys()
            assert not lost, f"{where}: lost {sorted(lost)[:5]} of {len(known)}"
        figures = self.queue.statistics()
        assert figures.items == 0, f"{where}: {figures}"
        assert figures.waiting_getters == figures.waiting_putters == 0, f"{where}: {figures}"
        return self.operations


def _on_asyncio() -> bool:
    return asyncio._get_running_loop() is not None
