"""Those who put and take in processes of their own, and items that tell whether they came whole."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import random
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full
from threading import Thread
from typing import Any

import numpy as np

from penstock import SharedArray, SharedQueue
from penstock.errors import Closed
from penstock.shared import Lease, LeaseLost
from tests.chaos.shared_books import MOST_AT_ONCE, Book, Name

MOST_ITEMS = 300  # of one producer
NAPS = (None, None, 0.0, 0.001, 0.05)
"""Seconds that a call may wait; None is for ever."""


# --- items ----------------------------------------------------------------------------------


def made(producer: int, number: int) -> Any:
    """The item of that name: of every kind that has a way of its own through the queue."""
    names = (producer, number)
    length = (producer * 7919 + number * 104729) % 3000
    match (producer + number) % 8:
        case 0:
            return {"producer": producer, "number": number, "text": "t" * length}
        case 1:
            return names
        case 2:
            return f"{producer} {number} {'s' * length}"
        case 3:
            return f"{producer} {number} ".encode() + b"b" * length
        case 4:
            return [producer, number, [None] * (length // 100)]
        case 5:
            return np.array([*names, *range(length // 10)])
        case 6:
            return _large(np.empty(3000 + length, np.int64), names)
        case _:
            array = _large(np.empty(2500 + length, np.int64), names)
            return {"producer": producer, "number": number, "first": array, "second": -array}


def _large(array: Any, names: Name) -> Any:
    array[:] = names[1]
    array[0] = names[0]
    return array


def named(item: Any) -> Name:
    """Whose item it is and which. Raises AssertionError if it did not come whole."""
    if isinstance(item, dict):
        name = (item["producer"], item["number"])
    elif isinstance(item, str):
        first, second, _ = item.split(" ")
        name = (int(first), int(second))
    elif isinstance(item, bytes):
        first, second, _ = item.decode().split(" ")
        name = (int(first), int(second))
    else:
        name = (int(item[0]), int(item[1]))
    assert _same(item, made(*name)), f"{name} did not come whole: {item!r:.100}"
    return name


def _same(item: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return item.keys() == expected.keys() and all(
            _same(item[key], value) for key, value in expected.items()
        )
    if isinstance(expected, np.ndarray):
        return bool(np.array_equal(item, expected))
    return type(item) is type(expected) and item == expected


# --- those who work with them ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor(ABC):
    """A process and what it does; its threads or tasks are called `name`, `name` + 1, and so on."""

    name: int
    seed: int
    hands: int = 1
    is_async: bool = False

    @abstractmethod
    def work(self, queue: Any, book: Book, name: int, dice: random.Random) -> None: ...

    @abstractmethod
    async def awork(self, queue: Any, book: Book, name: int, dice: random.Random) -> None: ...


def act(actor: Actor, queue: Any, path: Path) -> None:
    """What the process does from its beginning to its end."""
    with open(f"{path}.trace", "w") as trace:
        # Whoever seems to hang is asked where.
        faulthandler.register(signal.SIGUSR1, trace)
        book = Book(path)
        hands = [
            (queue, book, actor.name + more, random.Random(actor.seed + more))
            for more in range(actor.hands)
        ]
        if actor.is_async:
            asyncio.run(_together(actor, hands))
        elif len(hands) == 1:
            actor.work(*hands[0])
        else:
            _beside(actor, hands)


async def _together(actor: Actor, hands: list[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for hand in hands:
            group.create_task(actor.awork(*hand))


def _beside(actor: Actor, hands: list[Any]) -> None:
    failures: list[BaseException] = []

    def guarded(hand: Any) -> None:
        try:
            actor.work(*hand)
        except BaseException as failure:
            failures.append(failure)

    threads = [Thread(target=guarded, args=(hand,)) for hand in hands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@dataclass(frozen=True, slots=True)
class Producer(Actor):
    items: int = MOST_ITEMS

    def work(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        number = 0
        while number < self.items:
            count = self.count(number, dice)
            items = [self.item(queue, name, number + more, dice) for more in range(count)]
            wait = dice.choice(NAPS)
            book.begins(name, number, count)
            accepted = count
            try:
                if count == 1:
                    queue.put(items[0], timeout=wait)
                else:
                    queue.put_many(items, timeout=wait)
            except (Full, Closed) as refusal:
                accepted = getattr(refusal, "accepted", 0)
                if isinstance(refusal, Closed):
                    book.has_put(name, number, accepted)
                    return
            book.has_put(name, number, accepted)
            number += accepted

    async def awork(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        number = 0
        while number < self.items:
            item = self.item(queue, name, number, dice)
            book.begins(name, number, 1)
            accepted = 1
            try:
                await queue.aput(item, timeout=dice.choice(NAPS))
            except Full:
                accepted = 0
            except Closed:
                book.has_put(name, number, 0)
                return
            book.has_put(name, number, accepted)
            number += accepted

    def count(self, number: int, dice: random.Random) -> int:
        most = min(MOST_AT_ONCE, self.items - number)
        return dice.randint(1, most) if dice.random() < 0.3 else 1

    def item(self, queue: Any, name: int, number: int, dice: random.Random) -> Any:
        item = made(name, number)
        if isinstance(item, np.ndarray) and isinstance(queue, SharedQueue) and dice.random() < 0.5:
            # No room: it is copied when it is put, and waited for.
            with contextlib.suppress(Full, Closed):
                born = SharedArray.empty(item.shape, item.dtype, queue=queue)
                born[:] = item
                return born
        return item


@dataclass(frozen=True, slots=True)
class Consumer(Actor):
    keeps: int = 0
    """How many items it holds on to, and with them the memory of large ones."""

    def work(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        kept: deque[Any] = deque(maxlen=self.keeps)
        while True:
            most = dice.randint(2, MOST_AT_ONCE) if dice.random() < 0.3 else 1
            wait = dice.choice(NAPS)
            book.asks(name, most)
            items: list[Any] = []
            try:
                items = (
                    [queue.get(timeout=wait)] if most == 1 else queue.get_many(most, timeout=wait)
                )
            except Empty:
                pass
            except Closed:
                book.took(name, [])
                return
            book.took(name, map(named, items))
            kept.extend(items)

    async def awork(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        kept: deque[Any] = deque(maxlen=self.keeps)
        while True:
            most = dice.randint(2, MOST_AT_ONCE) if dice.random() < 0.3 else 1
            wait = dice.choice(NAPS)
            items: list[Any] = []
            book.asks(name, most)
            try:
                # The time of a call runs out by the queue, or by a cancellation from outside.
                async with asyncio.timeout(dice.choice((None, 0.002))):
                    if most == 1:
                        items = [await queue.aget(timeout=wait)]
                    else:
                        items = await queue.aget_many(most, timeout=wait)
            except (Empty, TimeoutError):
                pass
            except Closed:
                book.took(name, [])
                return
            book.took(name, map(named, items))
            kept.extend(items)

    def take_the_rest(self, queue: Any, book: Book, _patience: float) -> None:
        """What is inside and for nobody else to take."""
        while True:
            book.asks(self.name, 1)
            try:
                item = queue.get(block=False)
            except (Empty, Closed):
                book.took(self.name, [])
                return
            book.took(self.name, [named(item)])


@dataclass(frozen=True, slots=True)
class Acknowledger(Consumer):
    """Takes under a lease; gives some back, and may find that another one has them by now."""

    def work(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        while True:
            most = dice.randint(2, MOST_AT_ONCE) if dice.random() < 0.3 else 1
            wait = dice.choice(NAPS)
            book.asks(name, most)
            leases: list[Lease[Any]] = []
            try:
                if most == 1:
                    leases = [queue.lease(timeout=wait)]
                else:
                    leases = queue.lease_many(most, timeout=wait)
            except Empty:
                pass
            except Closed:
                book.took(name, [])
                return
            self.deal_with(leases, book, name, dice)

    async def awork(self, queue: Any, book: Book, name: int, dice: random.Random) -> None:
        while True:
            book.asks(name, 1)
            leases: list[Lease[Any]] = []
            try:
                async with asyncio.timeout(dice.choice((None, 0.002))):
                    leases = [await queue.alease(timeout=dice.choice(NAPS))]
            except (Empty, TimeoutError):
                pass
            except Closed:
                book.took(name, [])
                return
            self.deal_with(leases, book, name, dice)

    def deal_with(
        self, leases: list[Lease[Any]], book: Book, name: int, dice: random.Random
    ) -> None:
        names = [named(lease.item) for lease in leases]
        book.took(name, names)
        for lease, item in zip(leases, names, strict=True):
            try:
                if dice.random() < 0.1:
                    lease.give_back()
                    book.settled(name, item)
                else:
                    lease.ack()
                    book.acked(name, item)
            except LeaseLost:
                book.settled(name, item)

    def take_the_rest(self, queue: Any, book: Book, patience: float) -> None:
        dice = random.Random(self.seed)
        end = time.monotonic() + patience
        while True:
            assert time.monotonic() < end, f"leases never came back: {queue.statistics()}"
            book.asks(self.name, 1)
            try:
                leases = [queue.lease(timeout=1.0)]
            except (Empty, Closed):
                book.took(self.name, [])
                if queue.statistics().leased == 0:
                    return
            else:
                self.deal_with(leases, book, self.name, dice)
