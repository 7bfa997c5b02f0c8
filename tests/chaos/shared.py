"""Queues between processes under SIGKILL and SIGSTOP, with books that outlive whoever wrote them.

Processes put and take, in threads and in loops; some are killed in the middle of it, some before
they have begun, some are stopped and go on later or when all is over. Each writes down before a
call what it is about to do, and after it what has come of it, where a kill cannot undo it. The
books then have to show: what a living process put is taken once, or was in the hands of a dead one;
nobody takes what was refused; each taker sees the items of a producer in order and whole; and
nobody waits for a process that died or stands still. An operation is an item put or taken.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from penstock import SharedQueue
from tests.chaos import shared_streams
from tests.chaos.counting import Done
from tests.chaos.shared_actors import MOST_ITEMS, Acknowledger, Actor, Consumer, Producer, act
from tests.chaos.shared_books import Book, Books
from tests.workers.traces import nothing_left

KIB = 1 << 10
PATIENCE = 30.0
"""Seconds in which everybody who lives must have come to an end, however many others died."""
SPACIOUS = 64 << 20
"""Bytes of an arena that all the stopped ones together cannot hold up: what somebody looks at stays
taken until it looks away, however long that is."""
MOST_DISTURBANCES = 30
STREAMS = 0.2
"""The part of the time in which nobody is disturbed, and it is seen whether all wakes arrive."""
MOST_PROCESSES = 40

Make = Callable[[random.Random], Any]


def run(seed: int, seconds: float) -> Done:
    """Runs a stream and then rounds until the time is up, at least one.

    Raises AssertionError, which names the seed.
    """
    dice = random.Random(seed)
    deadline = time.monotonic() + seconds
    operations = 0
    number = 0
    # The one that spawned children share is none that a round leaves behind.
    resource_tracker.ensure_running()
    with nothing_left():
        operations += shared_streams.run(seconds * STREAMS, dice.choice((1, 4, 4, 16)))
    while number == 0 or time.monotonic() < deadline:
        with nothing_left():
            operations += Round(random.Random(dice.getrandbits(64))).run(
                f"seed {seed}, round {number}"
            )
        number += 1
    return Done(operations, number)


def shared_queue(dice: random.Random) -> SharedQueue[Any]:
    return SharedQueue(
        arena_bytes=dice.choice([None, SPACIOUS, SPACIOUS]),
        ack=dice.random() < 0.3,
        lease=dice.choice([5.0, 5.0, 0.05]),
        max_bytes=dice.choice([256 * KIB, 1024 * KIB, 8192 * KIB]),
        max_items=dice.choice([None, None, 1, 7, 64]),
        spin=dice.choice([0.0, 0.0, 20e-6]),
    )


class Round:
    """One queue, and those who live and die around it."""

    def __init__(
        self,
        dice: random.Random,
        make: Make = shared_queue,
        *,
        patience: float = PATIENCE,
        disturbances: int = MOST_DISTURBANCES,
        is_spawned: float = 0.02,
    ) -> None:
        self.dice = dice
        self.make = make
        self.patience = patience
        self.disturbances = dice.randint(0, disturbances)
        self.is_spawned = is_spawned
        self.living: dict[BaseProcess, Actor] = {}
        self.stopped: set[BaseProcess] = set()
        self.paths: dict[BaseProcess, Path] = {}
        self.names = 0
        self.started = 0
        self.taker: type[Consumer] = Consumer

    def run(self, where: str) -> int:
        """The number of operations. Raises AssertionError."""
        with (
            tempfile.TemporaryDirectory(prefix="penstock-chaos-") as folder,
            contextlib.closing(self.make(self.dice)) as queue,
        ):
            self.queue = queue
            self.memory: int = getattr(queue, "max_bytes", 0)
            self.may_stop = getattr(queue, "arena_bytes", SPACIOUS) >= SPACIOUS
            if getattr(queue, "ack", False):
                self.taker = Acknowledger
            self.books = Books(Path(folder), has_leases=self.taker is Acknowledger)
            try:
                self.live()
                self.take_the_rest()
            except AssertionError as failure:
                raise AssertionError(f"{where}: {failure}") from failure
            finally:
                self.end()
            return self.books.check(where)

    # -- what happens ------------------------------------------------------------------------

    def live(self) -> None:
        dice = self.dice
        if dice.random() < 0.3:
            # A child that is forked from a process that takes part begins anew all the same.
            self.put_here()
        for kind in (Producer, self.taker):
            for _ in range(dice.randint(1, 4)):
                self.start(kind)
        end = time.monotonic() + self.patience
        while self.those_who(Producer) - self.stopped:
            assert time.monotonic() < end, self.stuck("who puts never came to an end")
            self.await_ends(dice.expovariate(1 / 0.004))
            if self.disturbances:
                self.disturbances -= 1
                self.disturb()
            self.see_to_takers()
        for process in list(self.stopped):
            # Whoever stands still until all is over must not hold up the others.
            if dice.random() < 0.5:
                self.go_on(process)
        self.await_all(Producer, "who puts never came to an end")
        self.books.dropped = dice.random() < 0.1
        self.queue.shutdown(immediate=self.books.dropped)
        self.await_all(Consumer, "who takes never came to an end after the shutdown")
        for process in list(self.stopped):
            self.go_on(process)
        self.await_all(Producer, "who put and was stopped never came to an end")
        self.await_all(Consumer, "who took and was stopped never came to an end")

    def start(self, kind: type[Actor]) -> None:
        """Mostly by a fork, which is quick, so that many die young."""
        dice = self.dice
        hands = dice.choice((1, 1, 1, 2))
        fields: dict[str, Any] = {"hands": hands, "is_async": dice.random() < 0.3}
        if kind is Producer:
            fields["items"] = dice.randint(1, MOST_ITEMS)
        else:
            # Whoever holds on to more than the memory has can wait for the next one for ever.
            fields["keeps"] = min(dice.choice((0, 0, 1, 3)), self.memory >> 20)
        actor = kind(self.names, dice.getrandbits(32), **fields)
        self.names += hands
        self.started += 1
        path = self.books.path()
        context: Any = get_context("spawn" if dice.random() < self.is_spawned else "fork")
        process = context.Process(target=act, args=(actor, self.queue, path))
        with warnings.catch_warnings():
            # From Python 3.12 on a fork beside threads is warned of.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        self.living[process] = actor
        self.paths[process] = path

    def disturb(self) -> None:
        dice = self.dice
        if not self.living:
            return
        process = dice.choice(list(self.living))
        kind = type(self.living[process])
        chance = dice.random() * (1.0 if self.may_stop else 0.5)
        if chance < 0.8 and kind is self.taker:
            self.books.disturbed += 1
        if chance < 0.5:
            self.kill(process)
            if chance < 0.35 and self.started < MOST_PROCESSES:
                self.start(kind)
        elif chance < 0.8:
            os.kill(process.pid or 0, signal.SIGSTOP)
            self.stopped.add(process)
        elif self.stopped:
            self.go_on(dice.choice(list(self.stopped)))

    def see_to_takers(self) -> None:
        """Somebody takes, or those who put would wait for ever, and rightly."""
        takers = self.those_who(Consumer)
        if not takers:
            self.start(self.taker)
        elif takers <= self.stopped:
            self.go_on(self.dice.choice(list(takers)))

    def put_here(self) -> None:
        actor = Producer(self.names, self.dice.getrandbits(32), items=1)
        self.names += 1
        with contextlib.closing(Book(self.books.path())) as book:
            actor.work(self.queue, book, actor.name, random.Random(actor.seed))

    def take_the_rest(self) -> None:
        """What nobody was left to take."""
        if self.books.dropped:
            return
        with contextlib.closing(Book(self.books.path())) as book:
            self.taker(self.names, 0).take_the_rest(self.queue, book, self.patience)

    # -- those who are there -----------------------------------------------------------------

    def those_who(self, kind: type[Actor]) -> set[BaseProcess]:
        return {process for process, actor in self.living.items() if isinstance(actor, kind)}

    def kill(self, process: BaseProcess) -> None:
        process.kill()
        process.join()
        self.forget(process)

    def go_on(self, process: BaseProcess) -> None:
        os.kill(process.pid or 0, signal.SIGCONT)
        self.stopped.discard(process)

    def forget(self, process: BaseProcess) -> None:
        self.stopped.discard(process)
        del self.living[process], self.paths[process]
        process.close()

    def await_all(self, kind: type[Actor], otherwise: str) -> None:
        """Until none of them is left but those that are stopped."""
        end = time.monotonic() + self.patience
        while self.those_who(kind) - self.stopped:
            assert time.monotonic() < end, self.stuck(otherwise)
            self.await_ends(0.1)

    def await_ends(self, seconds: float) -> None:
        """So long at most for the next one; who goes by itself must have meant to."""
        ends: dict[Any, BaseProcess] = {process.sentinel: process for process in self.living}
        for sentinel in connection.wait(list(ends), seconds):
            process = ends[sentinel]
            process.join()
            assert process.exitcode == 0, f"{self.living[process]} ended with {process.exitcode}"
            self.forget(process)

    def end(self) -> None:
        for process in list(self.living):
            self.kill(process)

    def stuck(self, what: str) -> str:
        """What there is to say of those who live, and where they are."""
        lines = [f"{what} in {self.patience} s"]
        for process, actor in self.living.items():
            folder = Path(f"/proc/{process.pid}")
            state = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            lines.append(f"{actor}: {state}, {folder.joinpath('wchan').read_text()}")
            if process not in self.stopped:
                os.kill(process.pid or 0, signal.SIGUSR1)
        time.sleep(0.2)  # they write where they are; nobody tells when that is done
        for path in self.paths.values():
            with contextlib.suppress(OSError):
                lines.append(Path(f"{path}.trace").read_text())
        if isinstance(self.queue, SharedQueue):
            lines.append(repr(self.queue.statistics()))
        return "\n".join(lines)
