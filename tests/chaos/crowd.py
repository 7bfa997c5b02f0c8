"""One queue, and a second one beside it, used by three event loops and by threads at once.

There are more getters than items, so most of them are parked when an item comes. Which of two
threads was first nobody can say, so each one keeps books of its own; they are joined at the end.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from penstock import Queue
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown, select_blocking
from tests.chaos.entrance import Entrance
from tests.chaos.getters import KINDS
from tests.chaos.ledger import Batch, Ledger
from tests.chaos.same_tick import PATIENCE, Trial
from tests.loops import LOOPS


class Crowd:
    """A round in which everybody has his share, until the last loop shuts the queues down."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kind = rng.choice(KINDS)
        self.is_fair = rng.random() < 0.5
        self.queue: Queue[int] = self.kind(rng.choice((0, 1, 2, 7, 64)), fair=self.is_fair)
        self.side: Queue[int] = Queue(fair=self.is_fair)
        self.is_immediate = rng.random() < 0.3
        self.is_plain = rng.random() < 0.5
        self.producers = count(1)
        self.ledgers: list[Ledger] = []
        self.trials = {loop: self.trial() for loop in LOOPS}
        self.open = len(self.trials)
        self.lock = threading.Lock()
        self.failures: list[BaseException] = []
        self.burst = threading.Event()

    def ledger(self) -> Ledger:
        ledger = Ledger(producer=next(self.producers))
        self.ledgers.append(ledger)
        return ledger

    def trial(self) -> Trial:
        rng = random.Random(self.rng.getrandbits(64))
        return Share(lambda rng, ledger: Entrance(self, rng, ledger), rng, self.ledger())

    def run(self, _loop: str) -> None:
        loops = [
            threading.Thread(target=self.guarded, args=(trial.run, loop), name=loop)
            for loop, trial in self.trials.items()
        ]
        threads = [
            threading.Thread(
                target=self.guarded,
                args=(act, random.Random(self.rng.getrandbits(64)), self.ledger()),
                name=act.__name__,
            )
            for act in (self.put, self.get)
        ]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(self.rng.choice((1e-3, 1e-4, 1e-5)))
        try:
            for thread in loops + threads:
                thread.start()
            for thread in loops:
                thread.join()
            self.close()
            self.burst.set()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive(), f"{thread.name} sleeps beside its end"
        finally:
            sys.setswitchinterval(interval)

    def guarded(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except BaseException as failure:
            self.failures.append(failure)

    def leave(self) -> None:
        """Called by each loop in its last tick."""
        with self.lock:
            self.open -= 1
            is_last = self.open == 0
        if is_last:
            self.close()

    def close(self) -> None:
        self.queue.shutdown(self.is_immediate)
        self.side.shutdown()

    def put(self, rng: random.Random, ledger: Ledger) -> None:
        """The thread that puts; it never waits for long, as nobody may be there to take."""
        with suppress(QueueShutDown):
            while True:
                if rng.random() < 0.3:
                    self.burst.wait()
                    if not self.queue.is_shutdown:
                        self.burst.clear()
                ledger.ends["put by a thread"] += 1
                with suppress(QueueFull):
                    self.put_once(rng, ledger)

    def put_once(self, rng: random.Random, ledger: Ledger) -> None:
        chance = rng.random()
        if chance < 0.2:
            batch = Batch([ledger.next() for _ in range(rng.randrange(1, 6))], None)
            ledger.batches.append(batch)
            try:
                self.queue.put_many(batch.items, timeout=0.001)
            except (QueueFull, QueueShutDown) as refusal:
                batch.accepted = refusal.accepted
                raise
            batch.accepted = len(batch.items)
            return
        item = ledger.next()
        if chance < 0.3 and not self.is_plain:
            with self.queue.reserve(timeout=0.001) as place:
                place.put(item)
        elif chance < 0.4:
            self.queue.sync_q.put(item, timeout=0.001)
        else:
            self.queue.put(item, timeout=0.001)
        ledger.sent.append(item)

    def get(self, rng: random.Random, ledger: Ledger) -> None:
        """The thread that takes."""
        with suppress(QueueShutDown):
            while True:
                ledger.ends["got by a thread"] += 1
                with suppress(QueueEmpty):
                    match rng.randrange(4):
                        case 0:
                            ledger.got += self.queue.get_many(4, timeout=0.001)
                        case 1:
                            ledger.got.append(self.queue.sync_q.get(timeout=0.001))
                        case 2:
                            both = select_blocking(self.queue, self.side, timeout=0.001)
                            ledger.got.append(both[1])
                        case _:
                            ledger.got.append(self.queue.get(timeout=0.001))

    def check(self, where: str) -> int:
        """The number of operations done. Raises AssertionError."""
        for failure in self.failures:
            raise AssertionError(f"{where}: {failure!r}") from failure
        for loop, trial in self.trials.items():
            assert not trial.stuck, f"{where}: {loop}: {trial.stuck}"
        books = self.ledger()
        for queue in (self.queue, self.side):
            with suppress(QueueShutDown):
                books.got += queue.get_many(min=0)
        for ledger in self.ledgers[:-1]:
            self.check_order(ledger, where)
            books.sent += ledger.sent
            books.got += ledger.got
            books.cleared += ledger.cleared
            books.batches += ledger.batches
            books.faults += ledger.faults
            books.ends += ledger.ends
        figures = [queue.statistics() for queue in (self.queue, self.side)]
        gone = sum(each.got for each in figures) - len(books.got)
        if self.is_immediate:
            books.cleared = max(gone, books.cleared)
        assert gone == books.cleared, f"{where}: {gone} went, {books.cleared} were dropped"
        for each in figures:
            assert each.put == each.got, f"{where}: {each}"
            assert each.waiting_getters == each.waiting_putters == 0, f"{where}: {each}"
            assert each.reserved == 0, f"{where}: {each}"
        return books.check(where)

    def check_order(self, ledger: Ledger, where: str) -> None:
        """The items of one putter come to one taker in the order in which they were put.

        Not in a fair queue, where the second to wait has the second item even if it runs first.
        """
        if self.kind is not Queue or self.is_fair:
            return
        latest: dict[int, int] = {}
        for item in ledger.got:
            producer = item >> 40
            assert latest.get(producer, 0) < item, f"{where}: {item} came after {latest[producer]}"
            latest[producer] = item


class Share(Trial):
    """The share of one loop; whether its workers are parked is up to the others as well."""

    def is_quiet(self) -> bool:
        return self.rng.random() < 0.5
